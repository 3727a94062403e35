#!/usr/bin/env python3
"""record_test.py PROGRAM: record keeps each change, however a file is written, until the end."""

import os
import signal
import subprocess
import time

import tool


class Record(tool.Tool):
    def wait_until(self, holds):
        """No timed assertion: it only gives up on what never comes."""
        for _ in range(1200):
            if holds():
                return
            time.sleep(0.05)
        self.fail("it never came")

    def contents(self, name):
        """What the page held, sequence by sequence."""
        return [
            self.mmsb("show", "x.bus", name, "--at", record["sequence"], "--raw")
            for record in self.json("log", "x.bus", "--page", name)
        ]

    def recorded(self, script, *options, files=("f",), code=0):
        return self.run_mmsb("record", "x.bus", *files, *options, "--", "bash", "-c", script, code=code)

    def test_files_that_are_replaced_by_a_rename_are_seen(self):
        self.write("f", "start")
        wait = "seen() { until grep -q $1 log 2>/dev/null; do sleep 0.02; done; }\n"
        steps = "".join(f"echo {i} > new; mv new f; seen 'sequence {i + 1}:'\n" for i in (1, 2, 3))
        with open(self.folder / "log", "w") as log:
            subprocess.run(
                [tool.PROGRAM, "record", "x.bus", "f", "--", "bash", "-c", wait.replace("$1", '"$1"') + steps],
                cwd=self.folder, stderr=log, timeout=120, check=True,
            )
        self.assertEqual(self.contents("f"), ["start", "1\n", "2\n", "3\n"])

    def test_the_last_state_is_kept_however_fast_it_came(self):
        self.write("f", "start")
        self.recorded("for i in $(seq 200); do echo $i > f; done")
        self.assertEqual(self.contents("f")[-1], "200\n")

    def test_a_file_that_appears_later_is_kept(self):
        self.recorded("echo here > f")
        self.assertEqual(self.contents("f"), ["here\n"])

    def test_a_folder_that_appears_later_is_watched(self):
        self.recorded("mkdir d; echo here > d/f", files=("d/f",))
        self.assertEqual(self.contents("d/f")[-1], "here\n")

    def test_what_a_folder_holds_when_it_appears_is_kept_at_once(self):
        recorder = self.record_beside(self.WAIT + "mkdir e; echo here > e/f; mv e d; go 1", "d/f")
        self.wait_until(lambda: "sequence 1: 1 file made" in self.told())
        self.write("1", "")
        self.assertEqual(recorder.wait(timeout=120), 0)

    def test_prune_deletes_and_otherwise_a_gone_file_keeps_its_page(self):
        self.write("f", "start")
        self.recorded("rm f")
        self.assertEqual([p["name"] for p in self.json("pages", "x.bus")], ["f"])
        self.recorded("true", "--prune")
        self.assertEqual(self.json("pages", "x.bus"), [])

    def test_the_exit_code_is_the_commands(self):
        self.write("f", "start")
        self.recorded("exit 0")
        for script, code in (("exit 37", 37), ("kill -9 $$", 137)):
            answer = subprocess.run(
                [tool.PROGRAM, "record", "x.bus", "f", "-q", "--", "bash", "-c", script], cwd=self.folder, timeout=120
            )
            self.assertEqual(answer.returncode, code)

    def test_a_command_that_is_not_there_is_an_error(self):
        self.write("f", "start")
        answer = subprocess.run(
            [tool.PROGRAM, "record", "x.bus", "f", "-q", "--", "./no-such-command"],
            cwd=self.folder, timeout=120, capture_output=True, text=True,
        )
        self.assertEqual(answer.returncode, 8)
        self.assertIn("no-such-command", answer.stderr)

    def test_without_a_command_a_signal_ends_it_after_a_last_look(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self.write("f", f"before {number}")
            with subprocess.Popen(
                [tool.PROGRAM, "record", "x.bus", "f", "--every", "1h"], cwd=self.folder, stderr=subprocess.PIPE, text=True
            ) as recorder:
                recorder.stderr.readline()
                self.write("f", f"after {number}")
                recorder.send_signal(number)
                self.assertEqual(recorder.wait(timeout=120), 0)
            self.assertEqual(self.contents("f")[-2:], [f"before {number}", f"after {number}"])

    def test_a_signal_is_passed_on_to_the_command(self):
        self.write("f", "start")
        script = "trap 'echo trapped > f; exit 5' TERM; echo ready > f; while :; do sleep 0.05; done"
        with subprocess.Popen(
            [tool.PROGRAM, "record", "x.bus", "f", "-q", "--", "bash", "-c", script], cwd=self.folder
        ) as recorder:
            self.wait_until(lambda: self.read("f") == b"ready\n")
            recorder.send_signal(signal.SIGTERM)
            self.assertEqual(recorder.wait(timeout=120), 5)
        self.assertEqual(self.contents("f")[-1], "trapped\n")

    def test_json_keeps_the_commands_output_apart(self):
        self.write("f", "start")
        (commit, *_) = self.json_of_record("echo noise; echo more > f")
        self.assertEqual(commit["files"][0]["name"], "f")

    def json_of_record(self, script):
        answer = self.run_mmsb("record", "x.bus", "f", "--json", "--", "bash", "-c", script)
        self.assertIn("noise", answer.stderr)
        return [tool.json.loads(line) for line in answer.stdout.splitlines()]

    def test_a_changed_symbolic_links_target_is_seen(self):
        self.write("real/f", "start")
        os.symlink("real/f", self.folder / "link")
        with subprocess.Popen(
            [tool.PROGRAM, "record", "x.bus", "link"], cwd=self.folder, stderr=subprocess.PIPE, text=True
        ) as recorder:
            recorder.stderr.readline()
            self.write("real/f", "changed")
            self.assertIn("changed", recorder.stderr.readline())
            recorder.terminate()
        self.assertEqual(self.contents("link"), ["start", "changed"])

    def record_beside(self, script, *files):
        """Starts recording beside a script that is told to go on by files; what is told goes to `log`."""
        with open(self.folder / "log", "w") as log:
            recorder = subprocess.Popen(
                [tool.PROGRAM, "record", "x.bus", *files, "--", "bash", "-c", script], cwd=self.folder, stderr=log
            )
        self.addCleanup(recorder.wait)
        self.addCleanup(recorder.kill)
        return recorder

    def told(self):
        return self.read("log").decode()

    WAIT = "go() { until [ -e $1 ]; do sleep 0.02; done; }\n"

    def test_a_file_that_cannot_be_read_for_a_while_is_told_once_and_does_not_end_the_recording(self):
        script = self.WAIT + "truncate -s 1100M big; mkdir folder; go 1; echo 1 > k; go 2; rmdir folder; rm big; echo end > big; go 3"
        recorder = self.record_beside(script, "big", "folder", "k")
        self.wait_until(lambda: "over 1 GiB" in self.told() and "is a folder" in self.told())
        self.write("1", "")
        self.wait_until(lambda: "sequence 1: 1 file made" in self.told())
        time.sleep(1.5)  # Two more looks at what cannot be read.
        self.write("2", "")
        self.wait_until(lambda: "sequence 2: 1 file made" in self.told())
        self.write("3", "")
        self.assertEqual(recorder.wait(timeout=120), 0)
        self.assertEqual(sorted(l.split("; ")[-1] for l in self.told().splitlines() if l.startswith("mmsb: ")),
                         ["it is tried again"] * 2, self.told())
        self.assertEqual((self.contents("big"), self.contents("k")), (["end\n"], ["1\n"]))

    def test_what_cannot_be_read_at_the_end_is_an_error_and_the_others_are_kept(self):
        self.write("k", "start")
        answer = self.run_recorded("mkdir f; echo end > k", "f", "k")
        self.assertEqual(answer.returncode, 2)
        self.assertIn("mmsb: f is a folder", answer.stderr.splitlines()[-1])
        self.assertEqual(self.contents("k"), ["start", "end\n"])

    def run_recorded(self, script, *files):
        return subprocess.run([tool.PROGRAM, "record", "x.bus", *files, "--", "bash", "-c", script],
                              cwd=self.folder, timeout=120, capture_output=True, text=True)

    def test_what_is_wrong_from_the_start_is_an_error_before_the_command_runs(self):
        self.write("k", "start")
        (self.folder / "d").mkdir()
        self.recorded("touch ran", files=("k", "d"), code=2)
        self.assertFalse((self.folder / "ran").exists())

    def scribble(self, offset, value):
        """Into the shared memory of the bus, see src/arena/layout.hpp."""
        arena = self.folder / (self.folder / "x.bus" / "arena").read_text()
        with open(arena, "r+b") as file:
            file.seek(offset)
            file.write(value.to_bytes(8, "little"))

    def test_a_lock_that_is_held_is_waited_for(self):
        self.write("k", "start")
        recorder = self.record_beside(self.WAIT + "go 1; echo 1 > k; go 2", "k")
        self.wait_until(lambda: "sequence 1:" in self.told())
        self.scribble(8192 - 16, os.getpid())  # The word of the writers' lock: we hold it.
        self.write("1", "")
        self.wait_until(lambda: "tried again" in self.told())
        self.scribble(8192 - 16, 0)
        self.wait_until(lambda: "sequence 2:" in self.told())
        self.write("2", "")
        self.assertEqual(recorder.wait(timeout=120), 0)
        self.assertEqual(self.contents("k"), ["start", "1\n"])

    def test_what_cannot_pass_ends_the_recording_at_once_but_not_the_command(self):
        self.write("k", "start")
        recorder = self.record_beside(self.WAIT + "go 1; echo 1 > k; go 2; touch ran", "k")
        self.wait_until(lambda: "sequence 1:" in self.told())
        self.scribble(936, 5)  # The word `poison`: EIO.
        self.write("1", "")
        self.wait_until(lambda: "the recording has ended, the command goes on" in self.told())
        self.write("2", "")
        self.assertEqual(recorder.wait(timeout=120), 8)
        self.assertTrue((self.folder / "ran").exists())


if __name__ == "__main__":
    tool.main()
