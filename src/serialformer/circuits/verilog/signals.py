"""Which bits of a module are one and the same, by its connections and its buffers."""

from __future__ import annotations

from collections.abc import Iterator

from serialformer.circuits.verilog.rtlil import Bit, Module, signal_bits

_BUFFERS = {"$buf": ("A", "Y"), "$pos": ("A", "Y"), "$_BUF_": ("A", "Y")}
_INVERTERS = {"$not": ("A", "Y"), "$logic_not": ("A", "Y"), "$_NOT_": ("A", "Y")}


class SignalMap:
    """Follows each bit of a module back to what drives it.

    Args:
        module: a flat module.
        through_gates: whether to pass buffers, and inverters of one bit, too.
    """

    def __init__(self, module: Module, *, through_gates: bool = False) -> None:
        self._wires = module.wires
        self._driver: dict[Bit, tuple[Bit, bool]] = {}
        self.passed: set[str] = set()
        """The names of the cells that are passed."""
        for left, right in module.connections:
            self._add(left, right, inverts=False)
        for cell in module.cells if through_gates else ():
            for table, inverts in ((_BUFFERS, False), (_INVERTERS, True)):
                if cell.type in table:
                    source, target = (cell.connections[pin] for pin in table[cell.type])
                    bits = signal_bits(source, self._wires)
                    if inverts and not len(bits) == len(signal_bits(target, self._wires)) == 1:
                        continue
                    self._add(target, source, inverts=inverts)
                    self.passed.add(cell.name)

    def _add(self, left: str, right: str, *, inverts: bool) -> None:
        for target, source in zip(signal_bits(left, self._wires), signal_bits(right, self._wires), strict=False):
            if isinstance(target, tuple):
                self._driver[target] = (source, inverts)

    def follow(self, bit: Bit) -> tuple[Bit, bool]:
        """What drives a bit, and whether the bit is its inverse."""
        inverted, seen = False, {bit}
        while bit in self._driver:
            bit, inverts = self._driver[bit]
            inverted ^= inverts
            if bit in seen:  # a loop, which is refused elsewhere
                break
            seen.add(bit)
        return bit, inverted

    def bits(self, signal: str) -> Iterator[Bit]:
        """What drives the bits of a signal, least significant first."""
        return (self.follow(bit)[0] for bit in signal_bits(signal, self._wires))
