"""Random designs in SystemVerilog that have a value wherever a simulator is asked for one.

What is x in Verilog is not made: divisors are odd, what is read from an array is within it unless it goes to an output
as it is, variables are assigned before they are read, and registers have an initial value or a reset.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Signal:
    """A signal of a module: its name, bits and sign."""

    name: str
    width: int
    is_signed: bool

    @property
    def type(self) -> str:
        return f"{'signed ' if self.is_signed else ''}[{self.width - 1}:0]"


@dataclass
class Writer:
    """Writes one design; every choice comes from the generator."""

    draw: random.Random
    name: str
    has_jumps: bool
    has_disable: bool = False
    has_late_changes: bool = False
    blocks: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    readable: list[Signal] = field(default_factory=list)
    outputs: list[Signal] = field(default_factory=list)
    functions: list[tuple[str, list[Signal]]] = field(default_factory=list)
    number: int = 0

    def fresh(self, prefix: str, *, width: int | None = None) -> Signal:
        self.number += 1
        drawn = self.draw.choice([1, 2, 3, 4, 4, 5, 7, 8, 9])
        return Signal(f"{prefix}{self.number}", width or drawn, self.draw.random() < 0.4)

    # Expressions

    def literal(self) -> str:
        width = self.draw.choice([1, 2, 3, 4, 6, 8])
        value = self.draw.randrange(1 << width)
        sign = self.draw.choice(["", "s"])
        return self.draw.choice([f"{width}'{sign}d{value}", f"{width}'{sign}b{value:0{width}b}"])

    def word(self) -> str:
        if not self.readable or self.draw.random() < 0.15:
            return self.literal()
        return self.draw.choice(self.readable).name

    def part(self) -> str:
        """A bit or some bits of a signal, all of them within it."""
        # A bit of a parameter or a genvar by a variable index is x in Icarus.
        wide = [signal for signal in self.readable if signal.width > 1 and signal.name[0] not in "Pn"]
        if not wide:
            return self.word()
        signal = self.draw.choice(wide)
        kind = self.draw.randrange(4)
        if kind == 0:
            return f"{signal.name}[{self.draw.randrange(signal.width)}]"
        if kind == 1:
            low = self.draw.randrange(signal.width)
            return f"{signal.name}[{self.draw.randrange(low, signal.width)}:{low}]"
        bits = max(1, (signal.width).bit_length() - 1)
        index = self.index(bits)
        if kind == 2 or signal.width < 3:
            return f"{signal.name}[{index}]"
        wide_enough = [size for size in (1, 2, 3) if (1 << max(0, bits - 1)) - 1 + size <= signal.width and bits > 1]
        if not wide_enough:
            return f"{signal.name}[{index}]"
        return f"{signal.name}[{self.index(bits - 1)} +: {self.draw.choice(wide_enough)}]"

    def index(self, bits: int) -> str:
        """An index of so many bits at most."""
        chosen = [signal for signal in self.readable if not signal.is_signed]
        if not chosen or bits < 1:
            return "1'd0"
        signal = self.draw.choice(chosen)
        return signal.name if signal.width <= bits else f"{signal.name}[{bits - 1}:0]"

    def expression(self, depth: int = 3) -> str:
        if depth <= 0 or self.draw.random() < 0.12:
            return self.draw.choice([self.word, self.word, self.part])()

        def down() -> str:
            return self.expression(depth - 1)

        kind = self.draw.randrange(22)
        if kind < 5:
            return f"({down()} {self.draw.choice(['+', '-', '*', '+', '-'])} {down()})"
        if kind < 8:
            return f"({down()} {self.draw.choice(['&', '|', '^', '~^'])} {down()})"
        if kind < 10:
            return f"({self.draw.choice(['-', '~', '-', '+'])}{down()})"
        if kind < 12:
            operator = self.draw.choice(["<", "<=", ">", ">=", "==", "!=", "===", "!=="])
            return f"({down()} {operator} {down()})"
        if kind < 14:
            return f"({down()} {self.draw.choice(['<<', '>>', '>>>', '<<<', '>>>'])} {self.word()})"
        if kind == 14:
            return f"({down()} ? {down()} : {down()})"
        if kind == 15:
            return "{" + ", ".join(down() for _ in range(self.draw.choice([1, 2, 2, 3]))) + "}"
        if kind == 16:
            return "{" + f"{self.draw.choice([1, 2, 3])}{{{down()}}}" + "}"
        if kind == 17:
            return f"({self.draw.choice(['&', '|', '^', '~&', '~|', '~^', '!'])}{self.word()})"
        if kind == 18:
            return f"({down()} {self.draw.choice(['&&', '||'])} {down()})"
        if kind == 19:
            return f"{self.draw.choice(['$signed', '$unsigned'])}({down()})"
        if kind == 20:
            odd = f"({self.word()} | {self.draw.choice(['2', '9'])}'d1)"
            return f"({self.word()} {self.draw.choice(['/', '%'])} {odd})"
        if self.functions and self.draw.random() < 0.7:
            name, arguments = self.draw.choice(self.functions)
            return f"{name}({', '.join(self.expression(1) for _ in arguments)})"
        small = [signal.name for signal in self.readable if signal.width <= 3 and not signal.is_signed]
        return f"({self.word()} ** {self.draw.choice(small)})" if small else self.word()

    # Statements: each assigns, in one go, variables that are given, all of which have a value before it.

    def statements(self, targets: list[Signal], depth: int, indent: str, assign: str = "=") -> list[str]:
        result: list[str] = []
        for _ in range(self.draw.choice([1, 1, 2, 3])):
            result += self.statement(targets, depth, indent, assign)
        return result

    def statement(self, targets: list[Signal], depth: int, indent: str, assign: str) -> list[str]:
        if self.has_late_changes and depth > 0 and self.draw.random() < 0.4:
            return self.late_change(targets, depth, indent, assign)
        if self.has_disable and self.draw.random() < 0.4:
            if self.blocks and self.draw.random() < 0.6:
                return [f"{indent}if ({self.expression(1)}) disable {self.draw.choice(self.blocks)};"]
            if depth > 0:
                return self.draw.choice([self.named_block, self.repeated])(targets, depth, indent, assign)
        target = self.draw.choice(targets)
        kind = self.draw.randrange(10) if depth > 0 else self.draw.randrange(3)
        deeper = indent + "  "

        def block() -> list[str]:
            return self.statements(targets, depth - 1, deeper, assign)

        if kind == 1 and target.width > 1:  # with any index: what is beyond the end is not written
            return [f"{indent}{target.name}[{self.any_index()}] {assign} {self.expression(2)};"]
        if kind == 2 and target.width > 2:
            size = self.draw.choice([1, 2, target.width - 1])
            return [f"{indent}{target.name}[{self.any_start()} +: {size}] {assign} {self.expression(2)};"]
        if kind <= 3:
            return [f"{indent}{target.name} {assign} {self.expression()};"]
        if kind in (4, 5):
            other = [f"{indent}end else begin", *block()] if self.draw.random() < 0.6 else []
            return [f"{indent}if ({self.expression(2)}) begin", *block(), *other, f"{indent}end"]
        if kind in (6, 7):
            return self.case(targets, depth, indent, assign)
        return self.loop(targets, depth, indent, assign)

    def any_index(self) -> str:
        return self.draw.choice([self.word(), self.word(), f"{self.word()} + 1", f"{self.word()} - 1"])

    def any_start(self) -> str:
        """Where a part begins: not at ``a - 1`` of an unsigned ``a``, which simulators take for -1."""
        return self.draw.choice([self.word(), self.word(), f"{self.word()} + 1"])

    def case(self, targets: list[Signal], depth: int, indent: str, assign: str) -> list[str]:
        selector = self.draw.choice([signal for signal in self.readable if signal.width <= 5] or self.readable)
        kind = self.draw.choice(["case", "case", "casez", "casez", "casex"])
        # Of one sign throughout: Icarus extends a signed selector by its sign even beside an unsigned label.
        sign = "s" if selector.is_signed else ""
        chosen = self.draw.choice([selector.name, f"${'' if sign else 'un'}signed({self.expression(1)})"])
        result = [f"{indent}{kind} ({chosen})"]
        for _ in range(self.draw.choice([1, 2, 3, 4])):
            width = selector.width
            digits = [self.draw.choice("01?" if kind != "case" else "01") for _ in range(width)]
            if sign:  # whether a ? that is extended by its sign stays one, simulators do not agree
                digits[0] = self.draw.choice("01")
            label = f"{width}'{sign}b{''.join(digits)}"
            if kind == "case" and not sign and self.draw.random() < 0.3:
                label = f"{label}, 6'{sign}d{self.draw.randrange(64)}"
            if kind == "case" and self.draw.random() < 0.15:
                label = f"${'' if sign else 'un'}signed({self.word()})"
            result += [f"{indent}  {label}: begin"]
            result += self.statements(targets, depth - 1, indent + "    ", assign)
            result += [f"{indent}  end"]
        if self.draw.random() < 0.6:
            result += [f"{indent}  default: begin", *self.statements(targets, depth - 1, indent + "    ", assign)]
            result += [f"{indent}  end"]
        return [*result, f"{indent}endcase"]

    def loop(self, targets: list[Signal], depth: int, indent: str, assign: str) -> list[str]:
        self.number += 1
        name, count = f"k{self.number}", self.draw.choice([2, 3, 4, 5])
        variable = Signal(name, 32, True)
        deeper = indent + "  "
        self.readable.append(variable)
        is_named = self.has_disable and self.draw.random() < 0.5
        if is_named:
            self.blocks.append(f"e{name}")
        body = self.statements(targets, min(depth - 1, 1), deeper, assign)
        if self.draw.random() < 0.4:
            target = self.draw.choice(targets)
            body.append(f"{deeper}{target.name}[{name}] {assign} {self.expression(1)};")
        kind = self.draw.randrange(5)
        if kind == 0 and assign == "=" and self.has_jumps:
            body.append(f"{deeper}if ({self.expression(1)}) break;")
        if kind == 1 and assign == "=" and self.has_jumps:
            body.insert(0, f"{deeper}if ({self.expression(1)}) continue;")
        if kind == 2:
            body.append(f"{deeper}if ({name} == {self.draw.randrange(count)}) {name} = {name} + 1;")
        self.readable.remove(variable)
        label = f" : {self.blocks.pop()}" if is_named else ""
        head = f"{indent}for (int {name} = 0; {name} < {count}; {name} = {name} + 1) begin{label}"
        return [head, *body, f"{indent}end"]

    def named_block(self, targets: list[Signal], depth: int, indent: str, assign: str) -> list[str]:
        """A block that some statement of it may end."""
        self.number += 1
        name = f"b{self.number}"
        self.blocks.append(name)
        body = self.statements(targets, depth - 1, indent + "  ", assign)
        self.blocks.pop()
        local = [f"{indent}  reg [2:0] h{self.number};"] if self.draw.random() < 0.3 else []
        ending = f" : {name}" if self.draw.random() < 0.2 else ""
        return [f"{indent}begin : {name}", *local, *body, f"{indent}end{ending}"]

    def repeated(self, targets: list[Signal], depth: int, indent: str, assign: str) -> list[str]:
        """``repeat``, or ``do ... while`` with a variable that counts, whose body may be a single statement."""
        kind = self.draw.choice(["repeat", "repeat signal", "do"])
        body = self.statements(targets, depth - 1, indent + "  ", assign)
        if self.draw.random() < 0.5 or kind == "do":
            body = self.named_block(targets, depth, indent, assign)
        else:
            body = [f"{indent}begin", *body, f"{indent}end"]
        if kind == "repeat":
            return [f"{indent}repeat ({self.draw.choice(['2', '3', chr(39) + 'd2'])})  // times", *body]
        narrow = [signal for signal in self.readable if signal.width <= 2]
        if kind == "repeat signal" and narrow:
            return [f"{indent}repeat ({self.draw.choice(narrow).name})", *body]
        self.number += 1
        count, condition = f"k{self.number}", self.draw.choice(["", f" && {self.expression(1)}"])
        return [
            f"{indent}begin : d{self.number}",
            f"{indent}  integer {count};",
            f"{indent}  {count} = 0;",
            f"{indent}  do begin",
            f"{indent}    {count} = {count} + 1;",
            *body,
            f"{indent}  end while ({count} < {self.draw.choice([1, 2, 3])}{condition});",
            f"{indent}end",
        ]

    def late_change(self, targets: list[Signal], depth: int, indent: str, assign: str) -> list[str]:
        """A loop that may be left before its variable changes."""
        self.number += 1
        block, count, other = f"s{self.number}", f"k{self.number}", f"o{self.number}"
        variable, limit = Signal(count, 32, True), self.draw.choice([2, 3, 4, 6])
        self.readable.append(variable)
        self.blocks.append(block)
        body = self.statements(targets, min(depth - 1, 1), f"{indent}      ", assign)
        jump = f"if ({self.expression(1)}) disable {block};"
        alike = f"if ({self.expression(1)}) begin"
        condition = self.draw.choice(["", "", f" && {self.expression(1)}"])
        self.blocks.pop()
        self.readable.remove(variable)
        change = self.draw.choice(
            [
                f"{count} = {count} + 1;",
                f"{count} += 2;",
                f"begin {other} = {other} + 1; {count} = {other} + {count}; end",
            ]
        )
        where = self.draw.choice(["after", "between", "else", "alike"])
        rounds = {
            "after": [jump, *body, change],
            "between": [*body, jump, change, f"{targets[0].name} {assign} {targets[0].name} + {count};"],
            "else": [f"{jump} else begin", *body, change, "end"],
            "alike": [alike, *body, change, f"disable r{self.number};", "end", jump, change],
        }[where]
        label = f" : r{self.number}" if where == "alike" else ""
        kind = self.draw.choice(["while", "for", "do"])
        heads = {
            "while": f"while ({count} < {limit}{condition}) begin{label}",
            "for": f"for ({count} = 0; {count} < {limit}{condition}; {other} = {other} + 1) begin{label}",
            "do": f"do begin : r{self.number}",
        }
        last = f"end while ({count} < {limit}{condition});" if kind == "do" else "end"
        return [
            f"{indent}begin : {block}",
            f"{indent}  integer {count}, {other};",
            f"{indent}  {count} = 0; {other} = 0;",
            f"{indent}  {heads[kind]}",
            *(f"{indent}    {line.strip()}" for line in rounds),
            f"{indent}  {last}",
            f"{indent}end",
        ]

    # Items of a module

    def assign(self) -> None:
        signal = self.fresh("w")
        if self.draw.random() < 0.5:
            self.lines.append(f"  wire {signal.type} {signal.name} = {self.expression()};")
        else:
            self.lines += [
                f"  logic {signal.type} {signal.name};",
                f"  assign {signal.name} = {self.expression()};",
            ]
        self.readable.append(signal)

    def function(self) -> None:
        result = self.fresh("f")
        arguments = [self.fresh("p") for _ in range(self.draw.choice([1, 2, 3]))]
        inner = Writer(draw=self.draw, name="", has_jumps=self.has_jumps, readable=[*arguments], number=self.number)
        inner.has_disable, inner.has_late_changes = self.has_disable, self.has_late_changes
        local = inner.fresh("l")
        inner.readable.append(local)
        body = inner.statements([local, result], 2, "    ")
        jump = (
            [f"    if ({inner.expression(1)}) return {inner.expression(2)};"]
            if self.has_jumps and self.draw.random() < 0.3
            else []
        )
        self.number = inner.number
        given = ", ".join(f"input {argument.type} {argument.name}" for argument in arguments)
        self.lines += [
            f"  function automatic {result.type} {result.name}({given});",
            f"    logic {local.type} {local.name};",
            f"    {local.name} = {arguments[0].name};",
            f"    {result.name} = {arguments[-1].name};",
            *jump,
            *body,
            "  endfunction",
        ]
        self.functions.append((result.name, arguments))

    def combinational(self) -> None:
        signals = [self.fresh("c") for _ in range(self.draw.choice([1, 2, 3]))]
        self.lines += [f"  logic {signal.type} {signal.name};" for signal in signals]
        first = [f"    {signal.name} = {self.expression(1)};" for signal in signals]
        before = list(self.readable)
        self.readable += signals
        body = self.statements(signals, 2, "    ")
        self.readable = [*before, *signals]
        head = self.draw.choice(["always_comb", "always @*"])
        if not before:
            head = "always_comb"
        self.lines += [f"  {head} begin", *first, *body, "  end"]

    def covered(self) -> None:
        """A variable that only a ``case`` assigns, which covers all values without a default."""
        signal, bits = self.fresh("d"), self.draw.choice([1, 2])
        selectors = [
            one for one in self.readable if not one.is_signed and one.width >= bits and one.name[0] not in "Pn"
        ]
        if not selectors:
            return self.assign()
        values = list(range(1 << bits))
        self.draw.shuffle(values)
        self.lines += [
            f"  logic {signal.type} {signal.name};",
            f"  {self.draw.choice(['always_comb', 'always @*'])}",
            f"  case ({self.draw.choice(selectors).name}[{bits - 1}:0])",
        ]
        for value in values:
            self.lines.append(f"    {bits}'d{value}: {signal.name} = {self.expression(2)};")
        self.lines.append("  endcase")
        self.readable.append(signal)
        return None

    def array(self) -> None:
        """An array of a block: written with any index, read within it, and with any index by an output of its own."""
        size, element, read, beyond = (
            self.draw.choice([2, 3, 4, 5, 6]),
            self.fresh("t"),
            self.fresh("r"),
            self.fresh("o"),
        )
        bits = size.bit_length() - 1
        low = self.draw.choice([0, 0, 1])
        bounds = self.draw.choice([f"[{low}:{low + size - 1}]", f"[{low + size - 1}:{low}]"])
        packed = self.draw.random() < 0.25
        declared = (
            f"  logic {bounds if bounds.startswith('[' + str(low + size - 1)) else f'[{low + size - 1}:{low}]'}"
            f"[{element.width - 1}:0] {element.name};"
            if packed
            else f"  logic {element.type} {element.name} {bounds};"
        )
        writes = []
        for _ in range(self.draw.choice([1, 2, 3])):
            write = f"{element.name}[{self.any_index()}] = {self.expression(2)};"
            if self.draw.random() < 0.4:
                write = f"if ({self.expression(1)}) {write}"
            writes.append(f"    {write}")
        offset = f"{low} + " if low else ""
        self.lines += [
            declared,
            f"  logic {read.type} {read.name};",
            f"  logic {beyond.type} {beyond.name};",
            f"  {self.draw.choice(['always_comb', 'always @*'])} begin",
            *(f"    {element.name}[{low + place}] = {self.expression(1)};" for place in range(size)),
            *writes,
            f"    {read.name} = {element.name}[{offset}{self.index(bits)}];",
            f"    {beyond.name} = {element.name}[{self.any_index()}];",
            "  end",
        ]
        self.readable.append(read)
        self.outputs.append(beyond)

    def instance(self) -> None:
        child = Writer(draw=self.draw, name=f"{self.name}_{len(self.children)}", has_jumps=self.has_jumps)
        child.has_disable, child.has_late_changes = self.has_disable, self.has_late_changes
        parameter = self.draw.randrange(1, 9)
        child_inputs = [child.fresh("a") for _ in range(self.draw.choice([1, 2]))]
        child.readable += [*child_inputs, Signal("P", 32, True)]
        for _ in range(self.draw.choice([1, 2])):
            self.draw.choice([child.assign, child.combinational])()
        result = child.fresh("y")
        child.lines.append(f"  assign {result.name} = {child.expression()};")
        ports = [f"input {signal.type} {signal.name}" for signal in child_inputs]
        ports.append(f"output {result.type} {result.name}")
        self.children += [
            f"module {child.name} #(parameter P = 3)({', '.join(ports)});",
            *child.lines,
            "endmodule",
        ]
        signal = self.fresh("i")
        # In braces, whose width is their own: Icarus does not widen an expression to the port that it drives.
        words = [self.draw.choice([self.word(), f"{{{self.expression(1)}}}"]) for _ in child_inputs]
        given = [f".{port.name}({word})" for port, word in zip(child_inputs, words, strict=True)]
        self.lines += [
            f"  wire {signal.type} {signal.name};",
            f"  {child.name} #(.P({parameter})) {signal.name}_u({', '.join(given)}, .{result.name}({signal.name}));",
        ]
        self.readable.append(signal)

    def generate(self) -> None:
        signal, count = self.fresh("g", width=self.draw.choice([2, 4, 6])), self.draw.choice([2, 3])
        self.number += 1
        index = f"n{self.number}"
        part = signal.width // count
        if not part:
            return self.assign()
        self.readable.append(Signal(index, 32, True))
        value = self.expression(2)
        self.readable.pop()
        rest = signal.width - part * count
        self.lines += [
            f"  wire {signal.type} {signal.name};",
            f"  for (genvar {index} = 0; {index} < {count}; {index}++) begin : {signal.name}_b",
            f"    assign {signal.name}[{index} * {part} +: {part}] = {value};",
            "  end",
        ]
        if rest:
            self.lines.append(
                f"  assign {signal.name}[{signal.width - 1}:{signal.width - rest}] = {self.expression(1)};"
            )
        self.readable.append(signal)
        return None

    def registers(self) -> None:
        """A block of one clock: registers with ``<=``, and a variable with ``=`` that only this block reads."""
        signals = [self.fresh("q") for _ in range(self.draw.choice([1, 2]))]
        local = self.fresh("v")
        reset = self.draw.choice([None, "synchronous", "asynchronous"])
        first = {signal.name: self.draw.randrange(1 << signal.width) for signal in [*signals, local]}
        for signal in [*signals, local]:
            size = f"{signal.width}'d{first[signal.name]}"
            self.lines.append(f"  logic {signal.type} {signal.name} = {size};")
        before = list(self.readable)
        self.readable += signals
        body = [f"      {signal.name} <= {self.expression(2)};" for signal in signals if self.draw.random() < 0.7]
        body += self.statements(signals, 2, "      ", "<=")
        self.readable.append(local)
        inner = self.statements([local], 1, "      ")
        body += [*inner, f"      {signals[0].name} <= {self.expression(2)};"]
        self.readable = [*before, *signals]
        edge = "posedge clk" + (" or posedge rst" if reset == "asynchronous" else "")
        head = self.draw.choice(["always", "always_ff"])
        self.lines.append(f"  {head} @({edge})")
        if reset:
            self.lines += ["    if (rst) begin"]
            self.lines += [f"      {s.name} <= {s.width}'d{first[s.name]};" for s in signals]
            self.lines += [f"      {local.name} = {local.width}'d{first[local.name]};", "    end else"]
        self.lines += ["    begin", *body, "    end"]

    def memory(self) -> None:
        size, element, read, beyond = (
            self.draw.choice([2, 3, 4, 5, 6, 8]),
            self.fresh("m"),
            self.fresh("r"),
            self.fresh("o"),
        )
        bits = size.bit_length() - 1
        number = self.number
        self.lines += [
            f"  logic {element.type} {element.name} [0:{size - 1}];",
            f"  initial for (int z{number} = 0; z{number} < {size}; z{number} = z{number} + 1)"
            f" {element.name}[z{number}] = z{number} * 3;",
            f"  always @(posedge clk) if ({self.expression(1)})",
            f"    {element.name}[{self.any_index()}] <= {self.expression(2)};",
            f"  wire {read.type} {read.name} = {element.name}[{self.index(bits)}];",
            f"  wire {beyond.type} {beyond.name} = {element.name}[{self.any_index()}];",
        ]
        self.readable.append(read)
        self.outputs.append(beyond)


@dataclass(frozen=True)
class RandomDesign:
    """A design, its top module's name, its clock and reset if it has them, and its other ports as they are declared."""

    text: str
    top: str
    clock_ports: tuple[str, ...]
    ports: tuple[str, ...]


def random_design(
    seed: int,
    name: str = "top",
    *,
    has_jumps: bool = False,
    has_disable: bool = False,
    has_late_changes: bool = False,
) -> RandomDesign:
    """The design of a seed.

    Args:
        seed: of everything that is chosen.
        name: of the module.
        has_jumps: with ``break`` and its kin, which Icarus 11 does not know.
        has_disable: with ``disable`` of enclosing blocks, ``repeat`` and ``do ... while``.
        has_late_changes: with loops that may be left before the variable changes by which they end.
    """
    draw = random.Random(seed)
    writer = Writer(draw=draw, name=name, has_jumps=has_jumps, has_disable=has_disable)
    writer.has_late_changes = has_late_changes
    inputs = [writer.fresh("a") for _ in range(draw.choice([2, 3, 4]))]
    writer.readable += inputs
    has_clock = draw.random() < 0.5
    items = [writer.assign, writer.function, writer.combinational, writer.combinational, writer.array]
    items += [writer.covered, writer.instance, writer.generate] + [
        writer.registers,
        writer.registers,
        writer.memory,
    ] * has_clock
    for _ in range(draw.choice([2, 3, 4, 5])):
        draw.choice(items)()
    writer.outputs += [signal for signal in writer.readable if signal not in inputs]
    named = []
    for number in range(draw.choice([1, 2])):
        signal = Signal(f"y{number}", draw.choice([4, 8, 12, 33]), draw.random() < 0.5)
        named.append(signal)
        writer.lines.append(f"  assign {signal.name} = {writer.expression()};")
    shown = []
    for number, signal in enumerate(writer.outputs):
        shown.append(Signal(f"z{number}", signal.width, signal.is_signed))
        writer.lines.append(f"  assign z{number} = {signal.name};")
    clock_ports = ["input clk", "input rst"] * has_clock
    ports = [f"input {signal.type} {signal.name}" for signal in inputs]
    ports += [f"output {signal.type} {signal.name}" for signal in [*named, *shown]]
    lines = [*writer.children, f"module {name}({', '.join([*clock_ports, *ports])});", *writer.lines, "endmodule", ""]
    return RandomDesign(text="\n".join(lines), top=name, clock_ports=tuple(clock_ports), ports=tuple(ports))


def side_by_side(designs: Sequence[RandomDesign], name: str = "top") -> str:
    """One module in which each design is an instance with ports of its own, but for the clock and the reset."""
    ports = list(dict.fromkeys(port for design in designs for port in design.clock_ports))
    instances = []
    for design in designs:
        given = [f".{port.split()[-1]}({port.split()[-1]})" for port in design.clock_ports]
        for port in design.ports:
            *declared, own = port.split(" ")
            ports.append(" ".join([*declared, f"{design.top}_{own}"]))
            given.append(f".{own}({design.top}_{own})")
        instances.append(f"  {design.top} {design.top}_u({', '.join(given)});")
    wrapper = [f"module {name}(", ",\n".join(f"  {port}" for port in ports), ");", *instances, "endmodule", ""]
    return "\n".join([*(design.text for design in designs), *wrapper])
