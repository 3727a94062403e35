#!/usr/bin/env python3
"""texts_test.py PROGRAM: help, manual pages and completions are whole and well-formed."""

import re
import shutil
import subprocess

import tool

COMMANDS = "capture record info pages stats verify log watch show export diff checkpoint copy compact doctor graph why bench remove completion".split()
WITH_JSON = [c for c in COMMANDS if c != "completion"]


class Texts(tool.Tool):
    def test_each_command_has_a_help_with_an_example_and_the_exit_codes(self):
        for command in COMMANDS:
            text = self.mmsb(command, "--help")
            self.assertIn(f"Usage: mmsb {command} ", text)
            self.assertRegex(text, rf"Example:\n  \$ .*mmsb {command} ")
            self.assertIn("Exit codes:", text)
            self.assertEqual("--json" in text, command in WITH_JSON)
            self.assertLessEqual(max(map(len, text.splitlines())), 110, command)

    def test_the_help_lists_each_command_and_not_the_hidden_one(self):
        text = self.mmsb("--help")
        for command in COMMANDS:
            self.assertRegex(text, rf"(?m)^  {command} ")
        self.assertNotRegex(text, r"(?m)^  man ")

    def test_the_version_is_one_line(self):
        self.assertRegex(self.mmsb("--version"), r"^mmsb \d+\.\d+\.\d+\n$")

    def test_the_manual_pages_are_whole_and_without_a_warning(self):
        self.mmsb("man", "man1")
        pages = sorted(p.name for p in (self.folder / "man1").iterdir())
        self.assertEqual(pages, sorted(["mmsb.1", *(f"mmsb-{c}.1" for c in COMMANDS)]))
        for page in pages:
            text = (self.folder / "man1" / page).read_text()
            for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"):
                self.assertIn(f".SH {section}\n", text, page)
            if page != "mmsb.1":
                self.assertIn(".SH EXAMPLES\n", text, page)
            if page[5:-2] in WITH_JSON:
                self.assertIn(".SH JSON\n", text, page)
        if shutil.which("groff"):
            files = [f"man1/{page}" for page in pages]
            for file in files:
                answer = subprocess.run(
                    ["groff", "-man", "-Tutf8", "-ww", "-z", file], cwd=self.folder, capture_output=True, text=True
                )
                self.assertEqual((answer.returncode, answer.stderr), (0, ""), file)

    def test_the_manual_pages_have_the_examples_as_they_stand(self):
        if not shutil.which("groff"):
            self.skipTest("groff is not there")
        self.mmsb("man", "man1")
        shown = subprocess.run(
            ["groff", "-man", "-Tascii", "man1/mmsb-capture.1"], cwd=self.folder, capture_output=True, text=True
        ).stdout
        plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", shown)
        self.assertIn("$ mmsb capture demo.bus notes.txt todo.txt --label 'before the meeting'", plain)

    def test_the_completions_parse_and_name_every_command(self):
        for shell in ("bash", "zsh", "fish"):
            script = self.mmsb("completion", shell)
            for command in COMMANDS:
                self.assertIn(command, script)
            checker = {"bash": "bash", "zsh": "zsh", "fish": "fish"}[shell]
            if shutil.which(checker):
                answer = subprocess.run([checker, "-n"], input=script, capture_output=True, text=True)
                self.assertEqual((answer.returncode, answer.stderr), (0, ""), shell)

    def complete(self, *words):
        script = self.mmsb("completion", "bash") + (
            f"COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}\n"
            '_mmsb; printf "%s\\n" "${COMPREPLY[@]}"\n'
        )
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()

    def test_bash_completes_commands_options_and_values(self):
        self.assertEqual(self.complete("mmsb", "ca"), ["capture"])
        self.assertIn("--limit", self.complete("mmsb", "log", "--l"))
        self.assertEqual(self.complete("mmsb", "log", "--color", "al"), ["always"])
        self.assertEqual(self.complete("mmsb", "completion", "f"), ["fish"])
        self.assertEqual(self.complete("mmsb", "log", ""), [])


if __name__ == "__main__":
    tool.main()
