"""The picture of a 2-bit adder: its gates, and below them its tokens with the arcs of the two heads.

python docs/figures/adder.py docs/figures/adder.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

import serialformer
from serialformer.circuits.builder import AND, OR, XOR

INPUTS = {"a": 3, "b": 1}
FOCUS = "sum[1]"
PLACES = {
    **{"a[0]": (70, 40), "b[0]": (70, 90), "a[1]": (70, 140), "b[1]": (70, 190)},
    **{"sum[0]": (230, 40), "carry": (230, 90), "half": (230, 140), "both": (230, 190)},
    **{"sum[1]": (400, 90), "through": (400, 140), "sum[2]": (570, 165)},
}
KINDS = {
    "carry": "AND",
    "half": "XOR",
    "both": "AND",
    "through": "AND",
    "sum[0]": "XOR",
    "sum[1]": "XOR",
    "sum[2]": "OR",
}
STYLE = """
  .edge { stroke: #7d8590; stroke-width: 1.2; fill: none; }
  .box { stroke: #7d8590; fill: none; }
  .focus { stroke: #c2571a; stroke-width: 2.4; fill: none; }
  text { fill: #6b7280; font: 13px system-ui, sans-serif; text-anchor: middle; }
  .value { font-weight: 700; }
  .small { font-size: 11px; }
  @media (prefers-color-scheme: dark) { text { fill: #a5adb8; } .focus { stroke: #f0883e; } }
"""


def adder() -> serialformer.Circuit:
    """The adder of the ten-minute start, gate by gate."""
    build = serialformer.CircuitBuilder()
    a, b = build.inputs("a", 2), build.inputs("b", 2)
    carry = build.gate(AND, a[0], b[0], name="carry")
    half = build.gate(XOR, a[1], b[1], name="half")
    both = build.gate(AND, a[1], b[1], name="both")
    through = build.gate(AND, half, carry, name="through")
    build.outputs(
        "sum",
        [
            build.gate(XOR, a[0], b[0], name="sum[0]"),
            build.gate(XOR, half, carry, name="sum[1]"),
            build.gate(OR, both, through, name="sum[2]"),
        ],
    )
    return build.circuit()


def draw() -> str:
    """The picture as SVG, with a transparent background and colours that suit light and dark pages."""
    circuit = adder()
    model = serialformer.compile(circuit)
    transcript = model.run(**INPUTS)
    tokens = [letter for letter in transcript.text]
    names = ["a[0]", "a[1]", "b[0]", "b[1]", "="]
    reads: dict[str, tuple[str, ...]] = {}
    for token, line in enumerate(serialformer.trace_lines(model, transcript)):
        words = line.split()
        names.append(words[-2])
        inside = line.partition("(")[2].partition(")")[0]
        reads[names[-1]] = tuple(part.partition("=")[0] for part in inside.split(", "))
        assert words[0] == f"t{token}"
    values = dict(zip(names, tokens, strict=True))
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 430" role="img">',
        "<title>A 2-bit adder: seven gates, and the chain of thought in which each gate is one token</title>",
        f"<style>{STYLE}</style>",
    ]
    for gate, sources in reads.items():
        x, y = PLACES[gate]
        for source in sources:
            from_x, from_y = PLACES[source]
            kind = "focus" if gate == FOCUS else "edge"
            curve = f"M{from_x + 34} {from_y}C{from_x + 70} {from_y} {x - 80} {y} {x - 40} {y}"
            parts.append(f'<path class="{kind}" d="{curve}"/>')
    for name, (x, y) in PLACES.items():
        kind = "focus" if name == FOCUS else "box"
        parts.append(f'<rect class="{kind}" x="{x - 40}" y="{y - 15}" width="74" height="30" rx="6"/>')
        label = name if name not in KINDS else f"{name} {KINDS[name]}"
        parts.append(f'<text x="{x - 3}" y="{y - 2}" class="small">{label}</text>')
        parts.append(f'<text x="{x - 3}" y="{y + 12}" class="value">{values[name]}</text>')
    row, step = 370, 60
    for place, (name, token) in enumerate(zip(names, tokens, strict=True)):
        x = 50 + place * step
        kind = "focus" if name == FOCUS else "box"
        parts.append(f'<rect class="{kind}" x="{x - 24}" y="{row - 20}" width="48" height="32" rx="6"/>')
        parts.append(f'<text x="{x}" y="{row + 2}" class="value">{token}</text>')
        parts.append(f'<text x="{x}" y="{row + 28}" class="small">{"" if name == "=" else name}</text>')
        parts.append(f'<text x="{x}" y="{row + 46}" class="small">{place}</text>')
    for gate, sources in reads.items():
        to = 50 + names.index(gate) * step
        for source in sources:
            start = 50 + names.index(source) * step
            height = 22 + abs(to - start) * 0.17
            kind = "focus" if gate == FOCUS else "edge"
            opacity = "" if gate == FOCUS else ' opacity="0.35"'
            top = row - 20 - height
            curve = f"M{to} {row - 20}C{to} {top} {start} {top} {start} {row - 20}"
            parts.append(f'<path class="{kind}"{opacity} d="{curve}"/>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw())
