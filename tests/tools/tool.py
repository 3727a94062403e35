"""What the tests of the command line share: a scratch folder, and the program as a user runs it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = ""


class Tool(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mmsb-tool-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(self.forget_memory)

    def forget_memory(self):
        """Of all buses in the scratch folder, also of those that a killed process has left."""
        for arena in self.folder.rglob("arena"):
            named = pathlib.Path(arena.read_bytes().decode(errors="replace")) if arena.is_file() else pathlib.Path()
            if named.is_absolute() and named.name.startswith("mmsb-"):
                named.unlink(missing_ok=True)

    def run_mmsb(self, *arguments, code=0, text=True, **options):
        """Runs it in the scratch folder; checks the exit code, and that an error is one line on stderr."""
        environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | options.pop("env", {})
        answer = subprocess.run(
            [PROGRAM, *map(str, arguments)],
            cwd=self.folder,
            capture_output=True,
            text=text,
            timeout=120,
            env=environment,
            **options,
        )
        self.assertEqual(answer.returncode, code, f"{arguments}: {answer.stdout}{answer.stderr}")
        if code > 1:
            self.assertRegex(answer.stderr, r"^mmsb: [^\n]+\n$")
        return answer

    def mmsb(self, *arguments, **options):
        """What it prints."""
        return self.run_mmsb(*arguments, **options).stdout

    def json(self, *arguments, **options):
        """What it prints with --json: one object a line."""
        return [json.loads(line) for line in self.mmsb(*arguments, "--json", **options).splitlines()]

    def write(self, name, contents):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
        return path

    def read(self, name):
        return (self.folder / name).read_bytes()


def main():
    global PROGRAM
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)
