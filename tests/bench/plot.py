"""Draws the result of the benchmark: for each row a bar for each target, how fast it is beside the one that all are compared with."""

import math
from xml.sax.saxutils import escape

from report import base_of, ratio_to

# Told apart also without colours: the order in each group is that of the legend.
COLOURS = {
    "plain": "#9e9e9e",
    "fscrypt": "#6d6d6d",
    "passthrough": "#c9b458",
    "nojournal": "#7fb3e6",
    "nofollow": "#4fa3a3",
    "noperm": "#3f8fd6",
    "ring": "#16447a",
    "ring-noperm": "#0b2545",
    "coffer": "#1f5fa8",
    "gocryptfs": "#d9822b",
    "securefs": "#a4508b",
    "encfs": "#5b8c5a",
    "cryfs": "#b03a3a",
}
WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 900, 270, 60, 70, 9, 10
LOWEST, HIGHEST = 1 / 64, 64


class Drawing:
    def __init__(self, height):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        ]

    def text(self, x, y, text, anchor="start", size=12):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>')

    def box(self, x, y, width, height, colour, title):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"><title>{escape(title)}</title></rect>'
        )

    def line(self, x, top, bottom, colour):
        self.parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="{colour}"/>')

    def done(self):
        return "\n".join([*self.parts, "</svg>", ""])


def place(ratio):
    """Where a ratio stands: logarithmic, so that twice and half are equally far from one."""
    share = (math.log2(min(max(ratio, LOWEST), HIGHEST)) - math.log2(LOWEST)) / (math.log2(HIGHEST) - math.log2(LOWEST))
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def draw_row(d, b, row, names, top):
    d.text(LEFT - 8, top + BAR * len(names) / 2 + 4, row.name, "end")
    for i, n in enumerate(names):
        ratio = ratio_to(b, row, n, base_of(b))
        if ratio is None:
            continue
        one, here = place(1), place(ratio)
        d.box(min(one, here), top + BAR * i, max(abs(here - one), 1), BAR - 1, COLOURS[n], f"{row.name}, {n}: {ratio:.2f}")


def plot(b):
    base = base_of(b)
    names = [t.name for t in b.targets if t.name != base]
    group = BAR * len(names) + GAP
    bottom = TOP + group * len(b.rows)
    d = Drawing(bottom + 30)
    d.text(20, 20, f"Speed beside {base} (1 = as fast; logarithmic)", size=14)
    for i, n in enumerate(names):
        d.box(20 + 100 * i, 32, 10, 10, COLOURS[n], n)
        d.text(20 + 100 * i + 14, 41, n, size=11)
    for power in range(-6, 7, 2):
        ratio = 2.0**power
        d.line(place(ratio), TOP - 8, bottom, "#000000" if power == 0 else "#dddddd")
        d.text(place(ratio), bottom + 16, f"{ratio:g}" if power >= 0 else f"1/{1 / ratio:g}", "middle")
    for i, row in enumerate(b.rows):
        draw_row(d, b, row, names, TOP + group * i)
    return d.done()
