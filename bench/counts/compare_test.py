#!/usr/bin/env python3
"""compare_test.py: what compare.py finds, and says."""

import io
import json
import pathlib
import tempfile
import unittest
from contextlib import redirect_stdout

import compare


class Compare(unittest.TestCase):
    def test_a_path_that_takes_more_is_named_with_before_and_after(self):
        lines, worse = compare.compare({"read": 100.0, "write": 100.0}, {"read": 103.5, "write": 102.5})
        self.assertTrue(worse)
        self.assertIn("read: 100.0 instructions before, 103.5 now (+3.5%): MORE", lines[0])
        self.assertNotIn("MORE", lines[1])

    def test_less_is_good_and_worth_a_word(self):
        lines, worse = compare.compare({"read": 100.0}, {"read": 90.0})
        self.assertFalse(worse)
        self.assertIn("record it", lines[0])

    def test_a_path_that_came_or_went_is_found(self):
        for before, now in (({}, {"read": 1.0}), ({"read": 1.0}, {})):
            lines, worse = compare.compare(before, now)
            self.assertTrue(worse)
            self.assertIn("read: ", lines[0])


class Run(unittest.TestCase):
    """As a whole, with a program that only valgrind would have to run."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(setattr, compare, "COUNTS", compare.COUNTS)
        compare.COUNTS = pathlib.Path(folder.name) / "counts.json"
        self.counted = [1040]
        fakes = {
            "environment": lambda program: "here",
            "operations_of": lambda program: {"read": 10},
            "count": lambda program, path: self.counted.pop(0) if len(self.counted) > 1 else self.counted[0],
        }
        for name, value in fakes.items():
            self.addCleanup(setattr, compare, name, getattr(compare, name))
            setattr(compare, name, value)

    def run_with(self, environment, read, *options):
        compare.COUNTS.write_text(json.dumps({"environment": environment, "instructions": {"read": read}}))
        compare.sys.argv = ["compare.py", "program", *options]
        with redirect_stdout(io.StringIO()) as said:
            return compare.main(), said.getvalue()

    def test_more_fails_and_says_how_it_is_accepted(self):
        code, said = self.run_with("here", 100.0)
        self.assertEqual(code, 1)
        self.assertIn("compare.py program --accept", said)
        self.assertEqual(self.run_with("here", 102.0)[0], 0)

    def test_what_is_too_much_once_and_never_again_was_the_time(self):
        self.counted = [1200, 1000]
        self.assertEqual(self.run_with("here", 100.0)[0], 0)

    def test_what_is_accepted_is_the_least_of_several(self):
        self.counted = [1200, 1010, 1100, 1300]
        self.run_with("here", 1.0, "--accept")
        self.assertEqual(json.loads(compare.COUNTS.read_text())["instructions"], {"read": 101.0})

    def test_what_is_accepted_is_what_is_what_is_compared_with(self):
        self.assertEqual(self.run_with("elsewhere", 1.0, "--accept")[0], 0)
        self.assertEqual(json.loads(compare.COUNTS.read_text()), {"environment": "here", "instructions": {"read": 104.0}})

    def test_another_compiler_has_nothing_to_compare_with(self):
        code, said = self.run_with("elsewhere", 100.0)
        self.assertEqual(code, compare.SKIPPED)
        self.assertIn("elsewhere", said)


if __name__ == "__main__":
    unittest.main()
