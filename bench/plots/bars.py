#!/usr/bin/env python3
"""bars.py UPDATE.json FILE.svg: draws the table of bench_update: ns an update, sparse above dense; the axis is logarithmic.

Ours, the peers and the floors are told apart by colour and by name.
"""

import json
import pathlib
import sys
from xml.sax.saxutils import escape

from picture import Axis, begin, decades, short

WIDTH, LEFT, RIGHT, TOP = 860, 260, 90, 66
ROW, BAR = 36, 13


def colour(engine):
    if engine.startswith("floor"):
        return "floor-dot"
    return "d0" if engine.startswith("MMSB") else "d1"


def draw(engines):
    height = TOP + ROW * len(engines) + 40
    bottom = height - 36
    ticks = decades([e[k] for e in engines for k in ("sparse_median_ns", "dense_median_ns")])
    x = Axis(ticks[0], ticks[-1], LEFT, WIDTH - RIGHT)
    out = begin("An update of a page of 1 KiB, ns: ten bytes change (above), or all of them (below, paler)", WIDTH, height)
    for value in ticks:
        out.append(f'  <line class="grid" x1="{x(value)}" x2="{x(value)}" y1="{TOP - 16}" y2="{bottom}"/>')
        out.append(f'  <text class="soft" x="{x(value)}" y="{bottom + 20}" text-anchor="middle">{short(value)} ns</text>')
    for i, engine in enumerate(engines):
        top = TOP + i * ROW
        name = engine["engine"]
        out.append(f'  <text x="{LEFT - 10}" y="{top + BAR + 4}" text-anchor="end" font-size="13">{escape(name)}</text>')
        for k, (what, opacity) in enumerate((("sparse", 1), ("dense", 0.55))):
            value = engine[f"{what}_median_ns"]
            y = top + k * (BAR + 1)
            width = round(x(value) - LEFT, 1)
            tip = escape(f"{name}, {what}: {short(value)} ns")
            out.append(
                f'  <rect class="{colour(name)}" x="{LEFT}" y="{y}" width="{width}" height="{BAR}" fill-opacity="{opacity}">'
                f"<title>{tip}</title></rect>"
            )
            out.append(f'  <text class="soft" x="{LEFT + width + 6}" y="{y + BAR - 2}" style="font-size: 11.5px">{short(round(value))}</text>')
    return "\n".join(out) + "\n</svg>\n"


def main():
    engines = json.loads(pathlib.Path(sys.argv[1]).read_text())
    pathlib.Path(sys.argv[2]).write_text(draw(engines))


if __name__ == "__main__":
    main()
