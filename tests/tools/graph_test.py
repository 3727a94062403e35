#!/usr/bin/env python3
"""graph_test.py PROGRAM DERIVED_BUS: mmsb graph and mmsb why, on a bus that DERIVED_BUS makes."""

import subprocess
import sys

import tool

MAKER = sys.argv.pop(2)


class Graph(tool.Tool):
    def setUp(self):
        super().setUp()
        subprocess.run([MAKER, self.folder / "x.bus"], check=True, timeout=60)
        self.addCleanup(self.run_mmsb, "remove", "x.bus")

    def test_the_tree_shows_each_page_in_full_once(self):
        self.assertEqual(
            self.mmsb("graph", "x.bus"),
            "temps  64 bytes\n"
            "  mean  by demo.mean/1\n"
            "    alarm  by mmsb.threshold/1\n"
            '      a "report"  compiler  stale\n'
            '    a "report"  compiler  stale\n',
        )

    def test_dot_is_a_graph_of_all_edges(self):
        text = self.mmsb("graph", "--dot", "x.bus")
        self.assertTrue(text.startswith("digraph bus {\n") and text.endswith("}\n"))
        self.assertIn('  4 [label="a \\"report\\"", style=dashed];\n', text)
        self.assertIn('  1 -> 2 [label="demo.mean/1"];\n', text)
        self.assertIn('  3 -> 4 [label="compiler", style=dotted];\n', text)
        self.assertEqual(text.count("->"), 4)

    def test_json_has_pages_and_edges(self):
        (graph,) = self.json("graph", "x.bus")
        self.assertEqual([p["name"] for p in graph["pages"]], ["temps", "mean", "alarm", 'a "report"'])
        alarm = graph["pages"][2]
        self.assertEqual((alarm["function"], alarm["parents"], alarm["stale"]), ("mmsb.threshold/1", [2], False))
        self.assertEqual(alarm["arguments"], "0000000000005440")
        self.assertTrue(graph["pages"][3]["stale"] and not graph["pages"][3]["derived"])
        self.assertIn({"parent": 1, "child": 2, "type": "data"}, graph["edges"])
        self.assertEqual(len(graph["edges"]), 4)

    def test_why_goes_back_to_the_commit_that_caused_it(self):
        lines = self.mmsb("why", "x.bus", "alarm").splitlines()
        self.assertRegex(lines[0], r"^alarm  by mmsb\.threshold/1  sequence 6  .* plant\[\d+\]  1 byte")
        self.assertRegex(lines[1], r"^  mean  by demo\.mean/1  sequence 6  ")
        self.assertRegex(lines[2], r'^    temps  sequence 6  .*  3 bytes  tag 3  "measured"$')
        self.assertEqual(len(lines), 3)
        (why,) = self.json("why", "x.bus", "alarm")
        self.assertEqual([c["page"] for c in why["causes"]], [3, 2, 1])
        self.assertEqual([c["function"] for c in why["causes"]], ["mmsb.threshold/1", "demo.mean/1", None])
        self.assertEqual(why["causes"][2]["label"], "measured")

    def test_why_of_a_moment_and_of_nothing(self):
        self.assertIn("has not changed since it was made", self.mmsb("why", "--at", "5", "x.bus", "alarm"))
        self.run_mmsb("why", "x.bus", "nothing", code=3)
        self.run_mmsb("why", "--at", "99", "x.bus", "alarm", code=2)

    def test_verify_recomputes_what_built_in_functions_gave(self):
        text = self.mmsb("verify", "--recompute", "1", "x.bus")
        self.assertIn("good: 6 records give exactly the live pages\n", text)
        self.assertIn("2 recomputations of derived pages, 1 page passed over\n", text)
        (report,) = self.json("verify", "--recompute", "2", "x.bus")
        self.assertEqual((report["good"], report["not_recomputed"]), (True, 1))

    def test_the_log_says_which_edges_came(self):
        text = self.mmsb("log", "x.bus")
        self.assertRegex(text, r"\[page_derived\] .* from ")
        self.assertRegex(text, r"\[edge_added\] .* -> .* compiler")
        edges = [edge for record in self.json("log", "x.bus") for edge in record["edges_added"]]
        for edge in self.json("graph", "x.bus")[0]["edges"]:
            self.assertIn(edge, edges)

    def test_a_bus_without_edges_shows_nothing(self):
        self.write("a.txt", "hello")
        self.mmsb("capture", "plain.bus", "a.txt")
        self.assertEqual(self.mmsb("graph", "plain.bus"), "")


if __name__ == "__main__":
    tool.main()
