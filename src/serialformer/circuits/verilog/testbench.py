"""A testbench that drives a design with rows of bits from a file and writes its outputs to another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from serialformer.arrays import UInt8
from serialformer.circuits.verilog.clocks import Clock
from serialformer.circuits.words import Word


@dataclass(frozen=True, kw_only=True)
class Device:
    """The design that a testbench drives.

    Attributes:
        module: its top module.
        parameters: as literals.
        inputs: its input words, without the clock.
        outputs: its output words.
        clock: its clock, if it has one.
        registers: those that begin with 0 because the source gives them no value.
    """

    module: str
    parameters: Mapping[str, str]
    inputs: tuple[Word, ...]
    outputs: tuple[Word, ...]
    clock: Clock | None
    registers: tuple[str, ...]

    def without(self, registers: tuple[str, ...]) -> Device:
        """The device with fewer registers that are given a value."""
        return replace(self, registers=tuple(name for name in self.registers if name not in registers))


def format_stimulus(device: Device, rows: UInt8[np.ndarray, "rows inputs"]) -> str:
    """The rows as the testbench reads them: one line per row, first input word first, most significant bits first."""
    order = [place for word in device.inputs for place in reversed(word.bits)]
    if not order:
        return "0\n" * len(rows)
    first = min(order)
    letters = rows[:, np.array(order) - first].astype(np.uint8) + ord("0")
    return "".join(row.tobytes().decode() + "\n" for row in letters)


def format_testbench(device: Device, num_rows: int, *, deposits: bool) -> str:
    """The testbench in Verilog-2005: ``stimulus.txt`` in, ``answers.txt`` out.

    Outputs are written when they have settled on a row's inputs, before the edge that the registers wait for.

    Args:
        device: the design.
        num_rows: how many rows the stimulus has.
        deposits: whether the simulator has ``$deposit``, which gives registers their first values.
    """
    num_inputs = max(1, sum(word.width for word in device.inputs))
    num_outputs = sum(word.width for word in device.outputs)
    connections, high = [], sum(word.width for word in device.inputs)
    for word in device.inputs:
        connections.append(f".{_name(word.name)}(inputs[{high - 1}:{high - word.width}])")
        high -= word.width
    high = num_outputs
    for word in device.outputs:
        connections.append(f".{_name(word.name)}(outputs[{high - 1}:{high - word.width}])")
        high -= word.width
    given = ", ".join(f".{name}({value})" for name, value in device.parameters.items())
    clock = device.clock
    active = 1 if clock is None or clock.is_rising else 0
    if clock is not None:
        connections.append(f".{_name(clock.name)}(clock)")
    lines = [
        "`timescale 1ns/1ps",
        "module testbench;",
        f"  reg [{num_inputs - 1}:0] rows [0:{max(0, num_rows - 1)}];",
        f"  reg [{num_inputs - 1}:0] inputs;",
        f"  wire [{num_outputs - 1}:0] outputs;",
        f"  reg clock = {1 - active};",
        "  integer row, file;",
        f"  {_name(device.module)} {f'#({given}) ' if given else ''}dut({', '.join(connections)});",
        "  initial begin",
        '    $readmemb("stimulus.txt", rows);',
        '    file = $fopen("answers.txt", "w");',
        "    #100;",
    ]
    if deposits:  # before the inputs have values, so that resets which these bring come after it
        lines += [f"    $deposit(dut.{_path(name)}, 0); // {name}" for name in device.registers]
    lines += [
        f"    for (row = 0; row < {num_rows}; row = row + 1) begin",
        "      inputs = rows[row]; #100;",
        '      $fdisplay(file, "%b", outputs);',
    ]
    if clock is not None:
        lines.append(f"      clock = {active}; #100; clock = {1 - active}; #100;")
    lines += ["    end", "    $fclose(file);", "    $finish;", "  end", "endmodule", ""]
    return "\n".join(lines)


def _name(name: str) -> str:
    """A name as Verilog writes it."""
    return name if re.fullmatch(r"[A-Za-z_][\w$]*", name) else f"\\{name} "


def _path(name: str) -> str:
    """The name of a register in a hierarchy."""
    return name.removesuffix(".register")
