"""What the plots share: colours for light and dark, the frame, logarithmic axes, numbers as people write them."""

import math
from xml.sax.saxutils import escape

STYLE = """
    .back { fill: #ffffff; stroke: #d0d7de }
    .grid { stroke: #d8dee4; stroke-width: 1 }
    .floor { stroke: #6e7781; stroke-dasharray: 5 4 }
    .floor-dot { fill: #6e7781 }
    text { fill: #1f2328 }
    .soft { fill: #57606a; font-size: 12.5px }
    .series { fill: none; stroke-width: 2 }
    .lead { fill: none; stroke-width: 1; stroke-opacity: 0.6 }
%s
    @media (prefers-color-scheme: dark) {
      .back { fill: #0d1117; stroke: #30363d }
      .grid { stroke: #262c36 }
      .floor { stroke: #8b949e }
      .floor-dot { fill: #8b949e }
      text { fill: #e6edf3 }
      .soft { fill: #8b949e }
%s
    }
"""
LIGHT = ["#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#9a6700", "#0a7b83"]
DARK = ["#58a6ff", "#f0883e", "#3fb950", "#bc8cff", "#f778ba", "#d29922", "#39c5cf"]


def colours(values, indent):
    return "\n".join(f"{indent}.s{i} {{ stroke: {c} }} .d{i} {{ fill: {c} }}" for i, c in enumerate(values))


def short(value):
    """1000 as 1,000, 2500000 as 2.5 M."""
    for limit, unit in ((1e9, "G"), (1e6, "M")):
        if value >= limit:
            return f"{value / limit:.4g} {unit}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def of_bytes(value):
    for limit, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= limit:
            return f"{value / limit:.4g} {unit}"
    return f"{value:.0f}"


def begin(title, width, height):
    """The first lines of a picture: its frame and its title."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"',
        "     font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif\" font-size=\"14\">",
        f"  <title>{escape(title)}</title>",
        f"  <style>{STYLE % (colours(LIGHT, '    '), colours(DARK, '      '))}  </style>",
        f'  <rect class="back" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="6"/>',
        f'  <text x="24" y="26" font-weight="600">{escape(title)}</text>',
    ]


class Axis:
    """From values to places."""

    def __init__(self, low, high, first, last):
        self.low, self.high, self.first, self.last = math.log10(low), math.log10(high), first, last

    def __call__(self, value):
        part = (math.log10(value) - self.low) / ((self.high - self.low) or 1)
        return round(self.first + part * (self.last - self.first), 1)


def decades(values):
    return [10.0**e for e in range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)]
