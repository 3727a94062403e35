#!/usr/bin/env python3
"""arguments_test.py PROGRAM: what is wrong in a command line is an error with its own code, and changes nothing."""

import subprocess

import tool


class WrongUse(tool.Tool):
    def test_wrong_use_is_two(self):
        for arguments in ([], ["nonsense"], ["log"], ["log", "x.bus", "--nonsense"], ["log", "x.bus", "--since", "soon"],
                          ["diff", "x.bus", "1"], ["diff", "x.bus", "1", "x"], ["completion", "tcsh"],
                          ["record", "x.bus", "a", "--"], ["show", "x.bus", "a", "--raw", "--json"]):
            self.run_mmsb(*arguments, code=2)

    def test_a_bus_that_is_not_there_is_four_and_is_not_made(self):
        for command in (["info"], ["pages"], ["log"], ["stats"], ["verify"], ["compact"], ["checkpoint"]):
            self.run_mmsb(*command, "no.bus", code=4)
        self.run_mmsb("compact", "no.bus", "--keep", "7d", code=4)
        self.run_mmsb("show", "no.bus", "a", code=4)
        self.run_mmsb("diff", "no.bus", 1, 2, code=4)
        self.run_mmsb("export", "no.bus", "out", code=4)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_what_is_no_folder_is_no_bus(self):
        self.write("file", "x")
        self.write("a", "x")
        for command in (["info"], ["log"], ["verify"], ["doctor"], ["remove"], ["compact"]):
            self.run_mmsb(*command, "file", code=4)
        self.run_mmsb("capture", "file", "a", code=4)
        self.assertEqual(self.read("file"), b"x")

    def test_a_foreign_file_in_a_bus_is_damage(self):
        self.write("a", "x")
        self.mmsb("capture", "x.bus", "a")
        (self.folder / (self.folder / "x.bus" / "arena").read_text()).unlink()
        (segment,) = (self.folder / "x.bus" / "log").iterdir()
        segment.write_bytes(b"\x7fELF" * 5000)
        for command in (["info"], ["log"], ["verify"]):
            self.assertIn(segment.name + " at byte 0", self.run_mmsb(*command, "x.bus", code=5).stderr)
        self.run_mmsb("capture", "x.bus", "a", code=5)
        self.assertIn("damaged", self.mmsb("doctor", "x.bus", code=1))

    def test_a_sequence_of_the_future_is_wrong_use(self):
        self.write("a", "x")
        self.mmsb("capture", "x.bus", "a")
        self.run_mmsb("export", "x.bus", "--at", 1000, "out", code=2)

    def test_what_is_refused_has_set_nothing(self):
        self.write("a", "x")
        self.mmsb("capture", "x.bus", "a")
        before = self.json("info", "x.bus")[0]
        self.run_mmsb("compact", "x.bus", "--keep", "1000", "--before", "999999", code=2)
        self.assertEqual(self.json("info", "x.bus")[0], before)
        self.mmsb("compact", "x.bus", "--before", "newest")

    def test_a_name_in_brackets_is_one_name(self):
        self.write("a", "x")
        self.mmsb("capture", "x.bus", "a")
        self.assertEqual(len(self.json("log", "x.bus", "--page", "a")), 1)
        for name in ("[a]", "[a,a]"):
            self.assertIn(name, self.run_mmsb("log", "x.bus", "--page", name, code=3).stderr)

    def test_what_no_commit_takes_makes_no_bus(self):
        self.write("a", "x")
        (self.folder / "d").mkdir()
        long_path = "./" * 128 + "a"
        for command in ("capture", "record"):
            last = ["--", "true"] if command == "record" else []
            for wrong in (["a", "--label", "x" * 1025], ["a", "--source", "x" * 256], ["d"], [long_path]):
                self.run_mmsb(command, "x.bus", *wrong, *last, code=2)
                self.assertFalse((self.folder / "x.bus").exists())
                (self.folder / "x.bus").mkdir()
                self.run_mmsb(command, "x.bus", *wrong, *last, code=2)
                (self.folder / "x.bus").rmdir()  # nothing in it

    def test_an_error_that_nobody_can_read_has_its_exit_code(self):
        for command in (["info", "no.bus"], ["compact", "no.bus"]):
            for shell in ('exec "$@" 2>&-', 'exec "$@" 0<&- 1>&- 2>&-', 'exec "$@" 2>/dev/full'):
                answer = subprocess.run(["sh", "-c", shell, "sh", tool.PROGRAM, *command], cwd=self.folder, timeout=60)
                self.assertEqual(answer.returncode, 4, shell)
        self.write("a", "x")
        answer = subprocess.run(["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", tool.PROGRAM, "capture", "x.bus", "a", "-q"],
                                cwd=self.folder, timeout=60)
        self.assertEqual(answer.returncode, 0)
        answer = subprocess.run(["sh", "-c", 'exec "$@" 1>&-', "sh", tool.PROGRAM, "log", "x.bus"], cwd=self.folder,
                                capture_output=True, timeout=60)
        self.assertEqual(answer.returncode, 8)
        self.assertTrue(self.json("verify", "x.bus")[0]["good"])

    def test_an_empty_argument_is_wrong_use(self):
        """It is a variable that is not set. To the library a bus without a path is one in memory, gone at the end."""
        self.write("a", "x")
        self.mmsb("capture", "x.bus", "a")
        for arguments in (["capture", "", "a"], ["record", "", "a", "--", "true"], ["compact", ""], ["checkpoint", ""],
                          ["remove", ""], ["doctor", ""], ["info", ""], ["pages", ""], ["stats", ""], ["verify", ""],
                          ["log", ""], ["watch", ""], ["show", "", "a"], ["export", "", "out"], ["diff", "", "0", "1"],
                          ["copy", "", "y.bus"], ["copy", "x.bus", ""], ["checkpoint", "x.bus", ""],
                          ["doctor", "x.bus", "--write", ""], ["export", "x.bus", ""], ["capture", "x.bus", "a", ""]):
            answer = self.run_mmsb(*arguments, code=2)
            self.assertIn("is empty", answer.stderr)
            self.assertEqual(answer.stdout, "")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["a", "x.bus"])
        self.assertEqual(len(self.json("log", "x.bus")), 1)

    def test_a_number_is_digits_that_fit(self):
        self.write("a", "x")
        for text in ("-1", "-5", "+1", "1.5", "0x10", "1e3", " 1", "1 ", "", "99999999999999999999999", 2**64):
            for arguments in (["capture", "x.bus", "a", "--tag", text], ["record", "x.bus", "a", "--tag", text],
                              ["log", "x.bus", "--limit", text], ["log", "x.bus", "--tag", text],
                              ["watch", "x.bus", "--count", text], ["export", "x.bus", "out", "--at", text]):
                self.run_mmsb(*arguments, code=2)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["a"])
        self.mmsb("capture", "x.bus", "a", "--tag", 2**64 - 1)
        self.assertEqual(self.json("log", "x.bus", "--tag", 2**64 - 1)[0]["tag"], 2**64 - 1)
        self.assertEqual(self.json("log", "x.bus", "--limit", 0), [])


if __name__ == "__main__":
    tool.main()
