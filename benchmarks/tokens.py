"""What a token buys and what a layer buys: tokens, layers and width of one circuit, from a chain to none.

    python benchmarks/tokens.py [--rows ROWS.csv] [--figure FIGURE.png] [NAME ...]

For each circuit: a chain of one gate a token; two and four gates a token, with layers within a token; and no chain,
with a layer for each level. Models are built, proven and run, on 16 inputs, larger ones on two; all but those of four
layers within a token and those of AES that have several layers, of which the sizes alone are worked out. c6288 is read
from ../shared/circuits and left out where that is missing.
"""

from __future__ import annotations

import argparse
import csv
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from make_adder import prefix_adder, ripple_adder
from make_multiplier import multiplier

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.read_write import read
from serialformer.circuits.passes import split_gates
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.circuit_depth import circuit_depth_construction, circuit_levels
from serialformer.constructions.construction import Construction
from serialformer.constructions.packed_chain import packed_chain_construction
from serialformer.constructions.packed_schedule import schedule_packed
from serialformer.constructions.program import schedule_to_program
from serialformer.constructions.schedule import schedule_chain
from serialformer.errors import CompileError
from serialformer.models.compile import compile
from serialformer.models.verify import verify
from serialformer.targets.layout import lay_out

SHARED = Path(__file__).resolve().parents[2] / "shared" / "circuits" / "iscas85" / "c6288.bench"
MOST_IN_LAYERS = 3_000
"""Circuits of more gates are built with one layer only."""

FEW = 200
"""Circuits of more gates are run on two inputs."""

SHAPES = ((1, 1), (2, 1), (4, 1), (2, 2), (4, 2), (4, 4))


def aes() -> Circuit:
    from aes128 import encrypt

    return encrypt.circuit_for(2)


CIRCUITS: dict[str, Callable[[], Circuit]] = {
    "ripple adder, 16 bits": lambda: ripple_adder(16),
    "prefix adder, 16 bits": lambda: prefix_adder(16),
    "multiplier, 8 bits": lambda: multiplier(8),
    "multiplier, 16 bits": lambda: multiplier(16),
    "c6288": lambda: read(SHARED),
    "AES-128": aes,
}


@dataclass(frozen=True, kw_only=True)
class SurfaceRow:
    """One model of one circuit; without a chain ``gates_per_token`` is 0."""

    circuit: str
    gates: int
    depth: int
    gates_per_token: int
    layers: int
    tokens: int
    width: int
    heads: int
    hidden_units: int
    proven: bool
    cpu_seconds: float


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def constructed(circuit: Circuit, gates_per_token: int, layers: int) -> tuple[Construction, int]:
    """The construction, and how many tokens it writes."""
    if gates_per_token == 0:
        made = circuit_depth_construction(circuit)
    elif (gates_per_token, layers) == (1, 1):
        made = program_to_construction(schedule_to_program(circuit, schedule_chain(circuit)))
    else:
        made = packed_chain_construction(circuit, schedule_packed(circuit, gates_per_token, layers))
    return made, made.num_chain_tokens


def measure(name: str, circuit: Circuit, gates_per_token: int, layers: int) -> SurfaceRow:
    """Sizes from the layout; most models are built, proven and run as well."""
    started = cpu_seconds()
    construction, tokens = constructed(circuit, gates_per_token, layers)
    layout = lay_out(construction)
    units = max(layout.num_hidden_units(layer) for layer in construction.layers)
    is_built = layers < 4 and (circuit.num_gates <= MOST_IN_LAYERS or len(construction.layers) == 1)
    if is_built:
        chain: dict[str, Any] = {"chain": "none"} if gates_per_token == 0 else {"gates_per_token": gates_per_token}
        if gates_per_token > 1:
            chain["layers"] = layers
        model = compile(circuit, **chain)
        assert model.certificate is not None and model.certificate.holds
        assert model.transformer.architecture.width == layout.width
        assert verify(model, num_samples=16 if circuit.num_gates <= FEW else 2).wrong_inputs == 0
    return SurfaceRow(
        circuit=name,
        gates=circuit.num_gates,
        depth=circuit_levels(circuit).depth,
        gates_per_token=gates_per_token,
        layers=len(construction.layers),
        tokens=tokens,
        width=layout.width,
        heads=layout.num_heads,
        hidden_units=units,
        proven=is_built,
        cpu_seconds=round(cpu_seconds() - started, 1),
    )


def draw(rows: list[SurfaceRow], path: Path) -> None:
    """Layers and width against tokens, a line a circuit from no chain to one gate a token."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (of_layers, of_width) = pyplot.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    markers = {0: "s", 1: "o", 2: "^", 4: "D"}
    for number, name in enumerate(dict.fromkeys(row.circuit for row in rows)):
        colour = f"C{number}"
        mine = sorted((row for row in rows if row.circuit == name), key=lambda row: (row.tokens, row.layers))
        flat = [row for row in mine if row.layers == 1]
        for axes, height in ((of_layers, "layers"), (of_width, "width")):
            line = [row for row in mine if row.gates_per_token == 0] + flat
            axes.plot(
                [row.tokens for row in line], [getattr(row, height) for row in line], color=colour, lw=1, alpha=0.5
            )
            for row in mine:
                axes.plot(row.tokens, getattr(row, height), markers[row.gates_per_token], color=colour, ms=5,
                          mfc=colour if row.layers == 1 or row.gates_per_token == 0 else "none")  # fmt: skip
        of_layers.plot([], [], color=colour, label=name)
    kinds = {0: "no chain: the answer alone", 1: "1 gate a token", 2: "up to 2", 4: "up to 4"}
    for gates, text in kinds.items():
        of_width.plot([], [], markers[gates], color="0.4", label=text)
    of_width.plot([], [], "o", color="0.4", mfc="none", label="several layers within a token")
    for axes, label in ((of_layers, "layers"), (of_width, "width of the residual stream")):
        axes.set(xscale="log", yscale="log", xlabel="tokens written", ylabel=label)
        axes.legend(fontsize=7, frameon=False, loc="upper right" if axes is of_layers else "lower left")
        axes.spines[["top", "right"]].set_visible(False)
    of_width.set_ylim(bottom=12)
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CIRCUITS)}")
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    rows = []
    print(
        "| circuit | gates | depth | gates a token | layers | tokens | width | heads | hidden units | proven | CPU s |"
    )
    print("|" + "---|" * 11)
    for name, make in CIRCUITS.items():
        if (given.names and name not in given.names) or (name == "c6288" and not SHARED.exists()):
            continue
        circuit = split_gates(make())
        for gates_per_token, layers in (*SHAPES, (0, 0)):
            try:
                row = measure(name, circuit, gates_per_token, layers)
            except CompileError as error:
                print(f"{name}, {gates_per_token} gates a token, {layers} layers: {error.message}", file=sys.stderr)
                continue
            rows.append(row)
            sizes = [row.gates, row.depth, row.gates_per_token or "none", row.layers, row.tokens, row.width, row.heads]
            shown = [f"{size:,}" if isinstance(size, int) else size for size in (*sizes, row.hidden_units)]
            print(f"| {name} | {' | '.join(shown)} | {'yes' if row.proven else 'no'} | {row.cpu_seconds} |", flush=True)
    if given.rows is not None:
        with given.rows.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(asdict(rows[0])), lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(asdict, rows))
    if given.figure is not None:
        draw(rows, given.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
