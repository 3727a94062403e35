#!/usr/bin/env python3
"""plots_test.py: what is drawn is well-formed, whole, and inside the picture."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import bars
import curves

SVG = "{http://www.w3.org/2000/svg}"


def curve(*lines):
    series = [{"name": f"line <{i}>", "floor": i == 1, "points": points} for i, points in enumerate(lines)]
    return {"name": "c", "title": "A & B", "x": "bytes of a page", "y": "ns", "series": series}


class Curves(unittest.TestCase):
    def drawn(self, *lines):
        return xml.etree.ElementTree.fromstring(curves.draw(curve(*lines)))

    def test_each_point_is_there_inside_the_plot_and_says_its_value(self):
        image = self.drawn([[64, 1.5], [1024, 150]], [[64, 3e6], [1 << 20, 7]])
        circles = list(image.iter(SVG + "circle"))
        self.assertEqual(len(circles), 4)
        for circle in circles:
            self.assertTrue(curves.LEFT < float(circle.get("cx")) < curves.WIDTH - curves.RIGHT)
            self.assertTrue(curves.TOP <= float(circle.get("cy")) <= curves.HEIGHT - curves.BOTTOM)
        tips = [c.find(SVG + "title").text for c in circles]
        self.assertEqual(tips[0], "line <0>: 64: 1.5 ns")
        self.assertEqual(tips[3], "line <1>: 1 MiB: 7 ns")

    def test_more_is_higher_and_further_right(self):
        places = [(float(c.get("cx")), float(c.get("cy"))) for c in self.drawn([[1, 1], [10, 10], [100, 100]]).iter(SVG + "circle")]
        self.assertEqual(places, sorted(places, key=lambda p: (p[0], -p[1])))
        (a, b, c) = places
        self.assertAlmostEqual(b[0] - a[0], c[0] - b[0], delta=0.2)  # Logarithmic: decades are of one length.
        self.assertAlmostEqual(b[1] - a[1], c[1] - b[1], delta=0.2)

    def test_names_of_lines_that_end_together_do_not_cover_each_other(self):
        for value in (1, 1e9):
            image = self.drawn(*[[[1, 1], [10, value], [20, 1e9]] for _ in range(7)])
            names = sorted(float(t.get("y")) for t in image.iter(SVG + "text") if "line" in t.text)
            self.assertEqual(len(names), 7)
            self.assertTrue(all(b - a >= curves.LINE - 0.2 for a, b in zip(names, names[1:])), names)
            self.assertTrue(curves.TOP <= names[0] and names[-1] <= curves.HEIGHT - curves.BOTTOM + 6, names)

    def test_a_floor_has_no_colour(self):
        image = self.drawn([[1, 1], [2, 2]], [[1, 1], [2, 2]])
        self.assertEqual([p.get("class") for p in image.iter(SVG + "polyline")], ["series s0", "series floor"])

    def test_the_program_writes_a_file_a_curve(self):
        with tempfile.TemporaryDirectory() as folder:
            figures = pathlib.Path(folder) / "curves.json"
            figures.write_text(json.dumps([curve([[1, 1], [2, 2]])]))
            subprocess.run([sys.executable, curves.__file__, figures, folder], check=True)
            self.assertEqual((pathlib.Path(folder) / "c.svg").read_text(), curves.draw(curve([[1, 1], [2, 2]])))


class Bars(unittest.TestCase):
    ENGINES = [
        {"engine": "floor: copy <a page>", "sparse_median_ns": 100.0, "dense_median_ns": 150.0},
        {"engine": "LMDB", "sparse_median_ns": 1000.0, "dense_median_ns": 1200.0},
        {"engine": "MMSB", "sparse_median_ns": 500.0, "dense_median_ns": 10000.0},
    ]

    def test_each_engine_has_two_bars_as_long_as_its_figures(self):
        image = xml.etree.ElementTree.fromstring(bars.draw(self.ENGINES))
        found = [r for r in image.iter(SVG + "rect") if r.get("class") != "back"]
        self.assertEqual([r.find(SVG + "title").text.split(": ")[-1] for r in found],
                         ["100 ns", "150 ns", "1,000 ns", "1,200 ns", "500 ns", "10,000 ns"])
        lengths = [float(r.get("width")) for r in found]
        self.assertEqual(sorted(range(6), key=lambda i: lengths[i]), [0, 1, 4, 2, 3, 5])
        self.assertTrue(all(float(r.get("x")) + float(r.get("width")) <= bars.WIDTH for r in found))
        self.assertEqual([r.get("class") for r in found[::2]], ["floor-dot", "d1", "d0"])


if __name__ == "__main__":
    unittest.main()
