"""The RV32I core of ``rv32i.v``: one clock cycle of it as a circuit, and the memory that stands outside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from serialformer.circuits.formats.read_write import read_sequential
from serialformer.circuits.mapping.optimise import optimise
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.circuits.sequential.simulation import Cycle, Simulation

SOURCE = Path(__file__).with_name("rv32i.v")


def read_core(fan_in: int = 3) -> SequentialCircuit:
    """The core in gates of up to so many inputs: the wider they are, the fewer, and the shorter the chain."""
    core = read_sequential(SOURCE)
    circuit, _ = optimise(core.circuit, level=1, max_fan_in=fan_in)
    return replace(core, circuit=circuit)


class Memory:
    """Words of 32 bits by address, zero where nothing was written."""

    def __init__(self, program: list[int]) -> None:
        self.words = {4 * place: word for place, word in enumerate(program)}

    def read(self, address: int) -> int:
        """The aligned word that holds the byte at this address."""
        return self.words.get(address & ~3, 0)

    def write(self, address: int, data: int, byte_enables: int) -> None:
        """Writes the bytes of ``data`` whose bits are set in ``byte_enables``."""
        mask = sum(0xFF << 8 * byte for byte in range(4) if byte_enables >> byte & 1)
        self.words[address & ~3] = self.read(address) & ~mask | data & mask


class Computer:
    """The core in a model (or in its circuit), and a memory around it.

    Args:
        simulation: of the core, before its first cycle.
        program: the words of the program, from address 0 on.
    """

    def __init__(self, simulation: Simulation, program: list[int]) -> None:
        self.simulation = simulation
        self.memory = Memory(program)
        self._asked = 0

    def clock(self) -> Cycle:
        """One clock cycle: the core thinks, the memory serves."""
        at = self.simulation.register("pc")
        cycle = self.simulation.step(instruction=self.memory.read(at), load_data=self._asked)
        said = cycle.outputs
        if said["store_bytes"]:
            self.memory.write(said["address"], said["store_data"], said["store_bytes"])
        self._asked = self.memory.read(said["address"]) if said["load"] else 0
        return cycle

    def instruction(self) -> Cycle:
        """Clock cycles until an instruction is done: two for a load, otherwise one."""
        cycle = self.clock()
        return self.clock() if cycle.outputs["load"] else cycle


def read_program(path: Path) -> list[int]:
    """The words of a file of hexadecimal numbers, one a line."""
    return [int(line, 16) for line in path.read_text().split()]
