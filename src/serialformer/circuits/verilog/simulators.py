"""Icarus Verilog and Verilator as a second opinion: they run the source, and share nothing with how we read it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from serialformer.arrays import Bool, UInt8
from serialformer.circuits.verilog.clocks import Clock
from serialformer.circuits.verilog.options import macro_texts, parameter_values
from serialformer.circuits.verilog.testbench import Device, format_stimulus, format_testbench
from serialformer.circuits.words import Word
from serialformer.errors import FormatError, InputError, ToolError

SIMULATORS = {"iverilog": ("iverilog", "vvp"), "verilator": ("verilator", "g++", "make")}
"""The programs that each needs."""

_FAILED_DEPOSIT = re.compile(r"testbench\.v:(\d+): (?:error|sorry|invalid)", re.MULTILINE)
_MAX_TRIES = 8

_NO_OPTIMISATION = "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
"""To compile a design and Verilator's own sources takes longer than to run them; its makefile says -Os otherwise."""


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A simulator's values of a design's outputs.

    Attributes:
        values: one row a cycle, or a set of inputs; columns as the output words' places say. 0 where unknown.
        is_known: where the simulator has 0 or 1, and not x or z.
    """

    values: UInt8[np.ndarray, "rows outputs"]
    is_known: Bool[np.ndarray, "rows outputs"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A design as a simulator is given it.

    Attributes:
        paths: the files.
        top: the module to run.
        is_verilog_2005: whether the keywords are those of Verilog-2005.
        parameters: of the top module.
        macros: what is defined.
        includes: folders of included files.
        clock: the input that clocks registers, if any.
        registers: names of registers to begin with 0, because the source gives them no value.
    """

    paths: tuple[str, ...]
    top: str
    is_verilog_2005: bool = False
    parameters: Mapping[str, int | str]
    macros: Mapping[str, int | str]
    includes: tuple[str, ...] = ()
    clock: Clock | None = None
    registers: tuple[str, ...] = ()


def check_simulator(name: str) -> None:
    """Refuses a simulator that is not known or not installed.

    Raises:
        InputError: there is no such simulator.
        ToolError: it is not installed.
    """
    if name not in SIMULATORS:
        raise InputError(f"no simulator {name!r}", hint=f"one of {', '.join(SIMULATORS)}")
    missing = [program for program in SIMULATORS[name] if shutil.which(program) is None]
    if missing:
        raise ToolError(
            f"{name} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not on the PATH",
            hint=f"Debian and Ubuntu: apt install {name}",
        )


def simulate_source(
    source: Source,
    input_words: Sequence[Word],
    output_words: Sequence[Word],
    stimulus: UInt8[np.ndarray, "rows inputs"],
    simulator: str,
    *,
    max_seconds: float = 600.0,
) -> Simulated:
    """Runs the source on inputs: one run of as many cycles where it has a clock, else row by row.

    Args:
        source: the design.
        input_words: its inputs, but for the clock; their places are the columns of the stimulus.
        output_words: its outputs.
        stimulus: the inputs' bits.
        simulator: ``iverilog`` or ``verilator``.
        max_seconds: how long it may take to build the simulation, and how long to run it.

    Raises:
        InputError: there is no such simulator.
        ToolError: it is not installed, or takes longer.
        FormatError: it refuses the design, with its first message.
    """
    check_simulator(simulator)
    parameters = parameter_values(source.parameters)
    device = Device(
        module=source.top,
        parameters=parameters,
        inputs=tuple(input_words),
        outputs=tuple(output_words),
        clock=source.clock,
        registers=source.registers,
    )
    with TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "stimulus.txt").write_text(format_stimulus(device, stimulus))
        for _ in range(_MAX_TRIES):
            testbench = format_testbench(device, len(stimulus), deposits=simulator == "iverilog")
            (directory / "testbench.v").write_text(testbench)
            status, log = (_build_iverilog if simulator == "iverilog" else _build_verilator)(
                source, directory, max_seconds
            )
            if status == 0:
                command = ["vvp", "-N", "design.vvp"] if simulator == "iverilog" else ["obj_dir/Vtestbench"]
                log = _run(command, max_seconds, directory)[1]
            lines = testbench.split("\n")
            bad = {lines[int(number) - 1] for number in _FAILED_DEPOSIT.findall(log)}
            unknown = tuple(name for name in device.registers if any(line.endswith(f" // {name}") for line in bad))
            if not unknown:
                break
            # A register that the simulator knows by no such name, or gives no value, begins as the simulator has it.
            device = device.without(unknown)
        if status != 0:
            raise FormatError(
                f"{simulator} refuses the design: {_first_message(log)}",
                where=source.paths[0],
                hint="this does not tell whether the circuit is right",
            )
        answers = directory / "answers.txt"
        rows = answers.read_text().split() if answers.exists() else []
        if len(rows) != len(stimulus):
            last = log.strip().split("\n")[-1]
            raise FormatError(
                f"{simulator} stopped after {len(rows)} of {len(stimulus)} rows: {last}", where=source.paths[0]
            )
    return _parse_answers(rows, output_words)


def _parse_answers(rows: Sequence[str], words: Sequence[Word]) -> Simulated:
    """The bits that the testbench has written: the words in order, each most significant bit first."""
    letters = np.array([list(row.encode()) for row in rows], dtype=np.uint8)
    order = [place for word in words for place in reversed(word.bits)]
    values = np.zeros((len(rows), len(order)), dtype=np.uint8)
    is_known = np.zeros((len(rows), len(order)), dtype=bool)
    first = min(order)
    values[:, np.array(order) - first] = letters == ord("1")
    is_known[:, np.array(order) - first] = (letters == ord("0")) | (letters == ord("1"))
    return Simulated(values=values, is_known=is_known)


def _defines(source: Source) -> list[str]:
    # What is left out for synthesis is not read by us either.
    return [f"-D{name}={text}" for name, text in ({"SYNTHESIS": "1"} | macro_texts(source.macros)).items()]


def _build_iverilog(source: Source, directory: Path, max_seconds: float) -> tuple[int, str]:
    folders = [f"-I{folder}" for folder in [*source.includes, *_folders(source)]]
    files = [str(directory / "testbench.v"), *(str(Path(path).resolve()) for path in source.paths)]
    status, log = 1, ""
    for language in ("-g2005", "-g2012") if source.is_verilog_2005 else ("-g2012",):
        command = ["iverilog", language, "-o", str(directory / "design.vvp"), "-s", "testbench"]
        status, log = _run([*command, *_defines(source), *folders, *files], max_seconds)
        if status == 0:
            break
    return status, log


def _build_verilator(source: Source, directory: Path, max_seconds: float) -> tuple[int, str]:
    command = ["verilator", "--binary", "--timing", "-j", "2", "--Mdir", str(directory / "obj_dir")]
    command += ["--top-module", "testbench", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-assign", "0"]
    command += ["--x-initial", "0", "--assert", "-MAKEFLAGS", _NO_OPTIMISATION, *_defines(source)]
    command += [] if not source.is_verilog_2005 else ["+1364-2005ext+v"]
    command += [f"-I{folder}" for folder in [*source.includes, *_folders(source)]]
    return _run(
        [*command, str(directory / "testbench.v"), *(str(Path(path).resolve()) for path in source.paths)], max_seconds
    )


def _folders(source: Source) -> list[str]:
    return sorted({str(Path(path).resolve().parent) for path in source.paths})


def _run(command: Sequence[str], max_seconds: float, directory: Path | None = None) -> tuple[int, str]:
    """The exit status of a program and all that it prints.

    Whatever ends this early, a time limit or Ctrl-C, also ends what the program started: Verilator runs make, and make
    runs compilers, which otherwise live on.
    """
    process = subprocess.Popen(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=max_seconds)
    except subprocess.TimeoutExpired:
        raise ToolError(f"{Path(command[0]).name} did not end within {max_seconds:g} seconds") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, output.decode(errors="replace")


def _first_message(log: str) -> str:
    lines = [line.strip() for line in log.split("\n") if re.search(r"error|sorry|assert", line, re.IGNORECASE)]
    return (lines or [line for line in log.split("\n") if line.strip()] or ["no message"])[0]
