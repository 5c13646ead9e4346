"""The RISC-V core: its program's words, every instruction and whole runs, against Unicorn (QEMU's RISC-V)."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import serialformer
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.models.model import Model

pytest.importorskip("pyosys", reason="pyosys (extra hdl) is not installed")
unicorn = pytest.importorskip("unicorn", reason="unicorn (extra dev) is not installed")
riscv = pytest.importorskip("unicorn.riscv_const")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "riscv"
REGISTERS = [f"x{number}" for number in range(1, 32)]
DATA, SIZE = 0x1000, 0x1000
MEMORY = 0x60_0000
WORD = 1 << 32


def _load_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("riscv_core", EXAMPLE / "core.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["riscv_core"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


riscv_core = _load_module()


class Emulator:
    """Unicorn with the program at 0, and memory from there on."""

    def __init__(self, program: list[int]) -> None:
        self.machine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
        self.machine.mem_map(0, MEMORY)
        self.machine.mem_write(0, b"".join(word.to_bytes(4, "little") for word in program))
        self._names = [getattr(riscv, f"UC_RISCV_REG_{name.upper()}") for name in REGISTERS]
        self.pc = 0

    def step(self) -> None:
        self.machine.ctl_flush_tb()  # the word at pc may be another than before
        self.machine.emu_start(self.pc, 0xFFFF_FFFC, count=1)
        self.pc = self.machine.reg_read(riscv.UC_RISCV_REG_PC)

    @property
    def state(self) -> dict[str, int]:
        values = [self.machine.reg_read(name) for name in self._names]
        return {"pc": self.pc, **dict(zip(REGISTERS, values, strict=True))}

    @state.setter
    def state(self, values: dict[str, int]) -> None:
        for name, register in zip(REGISTERS, self._names, strict=True):
            self.machine.reg_write(register, values[name])
        self.pc = values["pc"]


@pytest.fixture(scope="module")
def core() -> SequentialCircuit:
    return riscv_core.read_core()


@pytest.fixture(scope="module")
def emulator() -> Emulator:
    return Emulator([])


def r_type(funct7: int, funct3: int) -> Iterator[int]:
    while True:
        yield funct7 << 25 | _register() << 20 | _register() << 15 | funct3 << 12 | _register() << 7 | 0b0110011


def i_type(opcode: int, funct3: int, immediates: list[int]) -> Iterator[int]:
    while True:
        value = random.choice(immediates) & 0xFFF
        yield value << 20 | _register() << 15 | funct3 << 12 | _register() << 7 | opcode


def u_type(opcode: int) -> Iterator[int]:
    while True:
        yield random.getrandbits(20) << 12 | _register() << 7 | opcode


def _register() -> int:
    return random.choice((0, 1, 2, 5, 17, 31, random.randrange(32)))


def branch(funct3: int) -> Iterator[int]:
    while True:
        offset = random.choice((8, 4, -4, 1000, -2048, 4092)) & 0x1FFF
        low, high = (offset >> 1 & 15) << 1 | offset >> 11 & 1, (offset >> 12 & 1) << 6 | offset >> 5 & 63
        yield high << 25 | _register() << 20 | _register() << 15 | funct3 << 12 | low << 7 | 0b1100011


def jump() -> Iterator[int]:
    while True:
        offset = random.choice((8, -4, 4096, 1 << 19, -(1 << 20))) & 0x1FFFFF
        value = (offset >> 20 & 1) << 31 | (offset >> 1 & 0x3FF) << 21 | (offset >> 11 & 1) << 20
        yield value | (offset >> 12 & 0xFF) << 12 | _register() << 7 | 0b1101111


ANY = [0, 1, -1, 2047, -2048, 85, 1365]
SHIFTS = [0, 1, 2, 3, 4, 8, 15, 16, 17, 30, 31]
ARITHMETIC = {
    **{
        name: i_type(0b0010011, f3, ANY)
        for name, f3 in zip(("addi", "slti", "sltiu", "xori", "ori", "andi"), (0, 2, 3, 4, 6, 7), strict=True)
    },
    "slli": i_type(0b0010011, 1, SHIFTS),
    "srli": i_type(0b0010011, 5, SHIFTS),
    "srai": i_type(0b0010011, 5, [0x400 | shift for shift in SHIFTS]),
    **{name: r_type(0, f3) for f3, name in enumerate(("add", "sll", "slt", "sltu", "xor", "srl", "or", "and"))},
    "sub": r_type(0x20, 0),
    "sra": r_type(0x20, 5),
    "lui": u_type(0b0110111),
    "auipc": u_type(0b0010111),
    "fence": iter([0x0FF0000F] * 100),
}
JUMPS = {
    **{
        name: branch(f3)
        for name, f3 in zip(("beq", "bne", "blt", "bge", "bltu", "bgeu"), (0, 1, 4, 5, 6, 7), strict=True)
    },
    "jal": jump(),
}
EDGES = [0, 1, WORD - 1, 1 << 31, (1 << 31) - 1, 31, 32]


def random_state() -> dict[str, int]:
    few = random.choice((False, True))  # equal operands are rare among random ones
    state = {name: random.choice(EDGES) if few else random.getrandbits(32) for name in REGISTERS}
    return {**state, "pc": MEMORY // 2 + 4 * random.randrange(1000)}


def compare(core: SequentialCircuit, emulator: Emulator, word: int, state: dict[str, int]) -> None:
    """One instruction in the circuit and in Unicorn, from one state."""
    emulator.machine.mem_write(state["pc"], word.to_bytes(4, "little"))
    emulator.state = state
    emulator.step()
    cycle = core.simulation({**state, "waiting": 0}).step(instruction=word, load_data=0)
    assert cycle.outputs["halted"] == cycle.outputs["load"] == cycle.outputs["store_bytes"] == 0
    assert cycle.next_state == {**emulator.state, "waiting": 0}, f"{word:08x} {state}"


@pytest.mark.parametrize("name", [*ARITHMETIC, *JUMPS])
def test_each_instruction_on_random_operands(core: SequentialCircuit, emulator: Emulator, name: str) -> None:
    random.seed(f"riscv {name}")
    for _ in range(25):
        compare(core, emulator, next({**ARITHMETIC, **JUMPS}[name]), random_state())


def test_jalr_to_aligned_addresses(core: SequentialCircuit, emulator: Emulator) -> None:
    random.seed(7)
    for _ in range(25):
        state, source, target, offset = (
            random_state(),
            random.randrange(1, 32),
            4 * random.randrange(900),
            random.choice(ANY),
        )
        state[f"x{source}"] = (target - offset) % WORD
        word = (offset & 0xFFF) << 20 | source << 15 | _register() << 7 | 0b1100111
        compare(core, emulator, word, state)


@pytest.mark.parametrize("funct3", [0, 1, 2, 4, 5], ids=["lb", "lh", "lw", "lbu", "lhu"])
def test_loads(core: SequentialCircuit, emulator: Emulator, funct3: int) -> None:
    random.seed(funct3)
    for _ in range(25):
        state, source, offset = random_state(), random.randrange(1, 32), random.choice(ANY)
        address = DATA + random.randrange(SIZE) // (1 << (funct3 & 3)) * (1 << (funct3 & 3))
        state[f"x{source}"] = (address - offset) % WORD
        word = (offset & 0xFFF) << 20 | source << 15 | funct3 << 12 | _register() << 7 | 0b0000011
        stored = random.getrandbits(32)
        emulator.machine.mem_write(state["pc"], word.to_bytes(4, "little"))
        emulator.machine.mem_write(address & ~3, stored.to_bytes(4, "little"))
        emulator.state = state
        emulator.step()
        simulation = core.simulation({**state, "waiting": 0})
        asks = simulation.step(instruction=word, load_data=random.getrandbits(32))
        assert asks.outputs["load"] == 1 and asks.outputs["address"] == address & ~3
        assert asks.next_state == {**state, "waiting": 1}
        has = simulation.step(instruction=word, load_data=stored)
        assert has.outputs["load"] == 0
        assert has.next_state == {**emulator.state, "waiting": 0}


@pytest.mark.parametrize("funct3", [0, 1, 2], ids=["sb", "sh", "sw"])
def test_stores(core: SequentialCircuit, emulator: Emulator, funct3: int) -> None:
    random.seed(funct3)
    for _ in range(25):
        state, base, offset = random_state(), random.randrange(1, 32), random.choice(ANY)
        address = DATA + random.randrange(SIZE) // (1 << funct3) * (1 << funct3)
        state[f"x{base}"] = (address - offset) % WORD
        high, low = offset >> 5 & 0x7F, offset & 0x1F
        word = high << 25 | _register() << 20 | base << 15 | funct3 << 12 | low << 7 | 0b0100011
        before = random.getrandbits(32)
        emulator.machine.mem_write(state["pc"], word.to_bytes(4, "little"))
        emulator.machine.mem_write(address & ~3, before.to_bytes(4, "little"))
        emulator.state = state
        emulator.step()
        cycle = core.simulation({**state, "waiting": 0}).step(instruction=word, load_data=0)
        memory = riscv_core.Memory([])
        memory.words[address & ~3] = before
        said = cycle.outputs
        memory.write(said["address"], said["store_data"], said["store_bytes"])
        after = int.from_bytes(emulator.machine.mem_read(address & ~3, 4), "little")
        assert memory.words == {address & ~3: after}
        assert cycle.next_state == {**emulator.state, "waiting": 0}


@pytest.mark.parametrize("word", [0x0000_0073, 0x0010_0073, 0, WORD - 1], ids=["ecall", "ebreak", "zeros", "ones"])
def test_what_is_no_instruction_halts(core: SequentialCircuit, word: int) -> None:
    random.seed(word)
    state = {**random_state(), "waiting": 0}
    cycle = core.simulation(state).step(instruction=word, load_data=0)
    assert cycle.outputs["halted"] == 1 and cycle.outputs["store_bytes"] == 0
    assert cycle.next_state == state


def test_reassembling_gives_the_words() -> None:
    assembler = pytest.importorskip("bronzebeard.asm", reason="bronzebeard (extra dev) is not installed")
    code = assembler.assemble(str(EXAMPLE / "primes.asm"))
    words = [int.from_bytes(code[place : place + 4], "little") for place in range(0, len(code), 4)]
    assert words == riscv_core.read_program(EXAMPLE / "primes.hex")


def run_beside_unicorn(processor: SequentialCircuit | Model) -> dict[str, int]:
    """Runs the primes, and compares all registers after every instruction, and the memory at the end."""
    program = riscv_core.read_program(EXAMPLE / "primes.hex")
    computer, emulator = riscv_core.Computer(processor.simulation(), program), Emulator(program)
    done = 0
    while True:
        cycle = computer.instruction()
        if cycle.outputs["halted"]:
            break
        emulator.step()
        done += 1
        assert cycle.next_state == {**emulator.state, "waiting": 0}, f"instruction {done}"
    for address, word in computer.memory.words.items():
        assert emulator.machine.mem_read(address, 4) == word.to_bytes(4, "little")
    return computer.simulation.state


def expected_primes() -> tuple[int, int]:
    primes = [number for number in range(2, 50) if all(number % divisor for divisor in range(2, number))]
    return len(primes), sum(primes)


def test_the_circuit_runs_the_program(core: SequentialCircuit) -> None:
    assert core.circuit.num_gates < 7047  # what ABC makes of picorv32 at three inputs a gate
    state = run_beside_unicorn(core)
    assert (state["x10"], state["x11"]) == expected_primes()


@pytest.mark.slow
def test_the_model_runs_the_program(core: SequentialCircuit) -> None:
    model = serialformer.compile(core)
    assert model.certificate is not None and model.certificate.holds
    state = run_beside_unicorn(model)
    assert (state["x10"], state["x11"]) == expected_primes()


@pytest.mark.slow
def test_transformers_thinks_the_same_of_the_model(core: SequentialCircuit, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers (extra torch) is not installed")
    model = serialformer.compile(core).save(tmp_path / "model")
    assert serialformer.verify(model, num_samples=2, engine="hf").verified
