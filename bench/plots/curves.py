#!/usr/bin/env python3
"""curves.py CURVES.json FOLDER: draws each curve of bench_curves as FOLDER/NAME.svg; both axes are logarithmic.

Readable in light and in dark; a floor is dashed and grey; each point says its value where the pointer rests on it.
"""

import json
import math
import pathlib
import sys
from xml.sax.saxutils import escape

from picture import LIGHT, Axis, begin, decades, of_bytes, short

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 84, 280, 44, 62  # Around the plot; the names of the lines stand on the right.
LINE = 17  # Height of a name.

def apart(wanted, low, high):
    """Places as near to the wanted ones as they can be with LINE between two of them."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = [min(max(wanted[i], low), high) for i in order]
    for _ in range(200):
        for a in range(len(places) - 1):
            overlap = LINE - (places[a + 1] - places[a])
            if overlap > 0:
                places[a] = max(places[a] - overlap / 2, low + a * LINE)
                places[a + 1] = max(places[a + 1] + overlap / 2, places[a] + LINE)
        for a in reversed(range(len(places))):
            places[a] = min(places[a], high - (len(places) - 1 - a) * LINE)
    return {i: round(p, 1) for i, p in zip(order, places)}


def draw(curve):
    xs = sorted({x for s in curve["series"] for x, _ in s["points"]})
    ys = [y for s in curve["series"] for _, y in s["points"]]
    lines = decades(ys)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    x = Axis(xs[0], xs[-1], LEFT + 12, right - 12)
    y = Axis(lines[0], lines[-1], bottom, TOP)
    label = of_bytes if curve["x"].startswith("bytes") else short
    out = begin(curve["title"], WIDTH, HEIGHT)
    for value in lines:
        out.append(f'  <line class="grid" x1="{LEFT}" x2="{right}" y1="{y(value)}" y2="{y(value)}"/>')
        out.append(f'  <text class="soft" x="{LEFT - 8}" y="{y(value) + 4}" text-anchor="end">{short(value)}</text>')
    step = math.ceil(len(xs) / 8)
    for value in xs[::step]:
        out.append(f'  <line class="grid" x1="{x(value)}" x2="{x(value)}" y1="{TOP}" y2="{bottom}"/>')
        out.append(f'  <text class="soft" x="{x(value)}" y="{bottom + 20}" text-anchor="middle">{label(value)}</text>')
    middle = (LEFT + right) / 2
    out.append(f'  <text class="soft" x="{middle}" y="{HEIGHT - 16}" text-anchor="middle">{escape(curve["x"])}</text>')
    out.append(
        f'  <text class="soft" x="20" y="{(TOP + bottom) / 2}" text-anchor="middle"'
        f' transform="rotate(-90 20 {(TOP + bottom) / 2})">{escape(curve["y"])}</text>'
    )
    series = [s for s in curve["series"] if s["points"]]
    names = apart([y(s["points"][-1][1]) for s in series], TOP, bottom)
    colour = 0
    for i, one in enumerate(series):
        line, dot = ("floor", "floor-dot") if one["floor"] else (f"s{colour % len(LIGHT)}", f"d{colour % len(LIGHT)}")
        colour += not one["floor"]
        places = [(x(a), y(b)) for a, b in one["points"]]
        out.append(f'  <polyline class="series {line}" points="{" ".join(f"{a},{b}" for a, b in places)}"/>')
        for (a, b), (px, py) in zip(one["points"], places):
            tip = escape(f"{one['name']}: {label(a)}: {short(b)} {curve['y']}")
            out.append(f'  <circle class="{dot}" cx="{px}" cy="{py}" r="3.5"><title>{tip}</title></circle>')
        out.append(f'  <line class="lead {line}" x1="{places[-1][0] + 5}" y1="{places[-1][1]}" x2="{right + 6}" y2="{names[i]}"/>')
        out.append(f'  <text class="{dot}" x="{right + 12}" y="{names[i] + 4}" font-size="13">{escape(one["name"])}</text>')
    return "\n".join(out) + "\n</svg>\n"


def main():
    curves, folder = json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for curve in curves:
        (folder / f"{curve['name']}.svg").write_text(draw(curve))


if __name__ == "__main__":
    main()
