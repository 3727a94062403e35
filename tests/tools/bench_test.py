#!/usr/bin/env python3
"""bench_test.py PROGRAM: bench measures each thing that it names, and leaves nothing behind. No time is asserted."""

import os
import signal
import subprocess
import time

import tool

UPDATES = [("process", 1, 1), ("process", 1, 100), ("interval", 1, 1), ("sync", 1, 1), ("sync", 8, 1)]


class Bench(tool.Tool):
    def test_each_figure_is_there_and_nothing_is_left(self):
        (self.folder / "d").mkdir()
        *figures, last = self.json("bench", "--seconds", 1, "--folder", "d")
        names = [f["figure"] for f in figures]
        self.assertEqual(names, ["update"] * 5 + ["read", "replay", "reopen", "rebuild"])
        self.assertEqual([(f["durability"], f["writers"], f["updates_a_commit"]) for f in figures[:5]], UPDATES)
        for figure in figures:
            self.assertGreater(min(figure["count"], figure["per_second"], figure["median_ns"]), 0, figure)
        self.assertEqual([f["p99_ns"] is not None for f in figures], [f["durability"] == "sync" for f in figures])
        commits = 1_000_000 // 60
        self.assertEqual(figures[-1]["records"], commits)
        self.assertGreaterEqual(figures[-3]["records"], commits)
        self.assertEqual(figures[-3]["count"], 5 * figures[-3]["records"])
        self.assertEqual((last["pages"], last["page_size"], last["folder"]), (10_000, 1024, "d"))
        self.assertEqual(os.listdir(self.folder / "d"), [])

    def test_for_people_each_is_a_line(self):
        lines = self.mmsb("bench", "--seconds", 1).splitlines()
        for line, name in zip(lines, ["update"] * 5 + ["read", "replay", "reopen", "rebuild"]):
            self.assertRegex(line, rf"^{name} .*[0-9] [nmu]s each")
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_signal_ends_it_and_nothing_is_left(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with subprocess.Popen([tool.PROGRAM, "bench"], cwd=self.folder, stdout=subprocess.PIPE) as bench:
                memory = self.memory_of_the_first_bus(bench)
                self.assertTrue(memory.exists())
                bench.send_signal(number)
                bench.communicate(timeout=120)
                self.assertEqual(bench.returncode, 128 + number)
            self.assertEqual(os.listdir(self.folder), [])
            self.assertFalse(memory.exists())

    def memory_of_the_first_bus(self, bench):
        while bench.poll() is None:
            for arena in self.folder.glob("mmsb-bench-*/1/arena"):
                if arena.read_text():
                    return arena.parent / arena.read_text()
            time.sleep(0.01)
        self.fail("it ended without a bus")

    def test_a_folder_that_is_not_there_is_an_error(self):
        self.assertIn("no/where", self.run_mmsb("bench", "--folder", "no/where", code=8).stderr)


if __name__ == "__main__":
    tool.main()
