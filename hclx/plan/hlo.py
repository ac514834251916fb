"""Parses the text of a compiled XLA program into computations and instructions."""

import dataclasses
import math
import re
from collections.abc import Iterator

DTYPE_BYTES = {
    "pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2,
    "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8,
    "f8e4m3fn": 1, "f8e5m2": 1, "f8e4m3b11fnuz": 1, "f8e4m3": 1,
}  # fmt: skip

# Opcodes whose `to_apply` is a computation that runs once, and not the operation of a reduction.
CALLS = ("call", "call-start")

_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r"\s([a-z][\w\-]*)\(")
_ARRAY = re.compile(r"\b([a-z]+\d*(?:e\dm\d\w*)?)\[([\d,]*)\](\{[^{}]*\})?")
_NAME = re.compile(r"%([\w.\-]+)")


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of a result.

    Attributes:
      dtype: XLA's name of the element type, a key of `DTYPE_BYTES`, or another that has no bytes.
      shape: its dimensions.
      in_hbm: whether it is stored in HBM, and not in a memory of the chip itself.
    """

    dtype: str
    shape: tuple[int, ...]
    in_hbm: bool

    @property
    def size(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of its elements, without padding."""
        return int(self.size * DTYPE_BYTES.get(self.dtype, 0))


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line: `%name = results opcode(operands), attributes`.

    Attributes:
      name: without the %.
      opcode: such as "fusion" or "all-gather-start".
      results: one array, or those of a tuple.
      operands: the names of the instructions whose results it reads.
      attributes: the text after the operands, as XLA writes it.
      number: the value of an integer constant, or the position of a parameter; else None.
    """

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str
    number: int | None = None

    def called(self, role: str) -> str | None:
        """Returns the name of the computation in an attribute, or None if it is missing.

        Args:
          role: the name of the attribute, such as "body" or "calls".
        """
        match = re.search(rf"\b{role}=%?([\w.\-]+)", self.attributes)
        return match and match.group(1)

    @property
    def estimated_cycles(self) -> int | None:
        """The cycles that XLA's cost model for TPUs expects; None if it gives none."""
        match = re.search(r'"estimated_cycles":"(\d+)"', self.attributes)
        return int(match.group(1)) if match else None

    @property
    def op_name(self) -> str:
        """XLA's `op_name`, a path of scopes such as jit(step)/while/dot_general; "" if none."""
        match = re.search(r'op_name="([^"]*)"', self.attributes)
        return match.group(1) if match else ""


@dataclasses.dataclass(frozen=True)
class Module:
    """A compiled program.

    Attributes:
      computations: name of a computation -> name of an instruction -> instruction, in the order in
        which they are scheduled.
      entry: the name of the computation that runs first.
    """

    computations: dict[str, dict[str, Instruction]]
    entry: str

    def operands(self, computation: str, instruction: Instruction) -> list[Array]:
        """Returns the arrays that an instruction of the named computation reads, those of a tuple
        one by one.
        """
        known = self.computations[computation]
        return [
            array for name in instruction.operands if name in known for array in known[name].results
        ]

    def trip_count(self, computation: str, loop: Instruction) -> int:
        """Returns how often the body of a `while` runs: XLA's own figure, or else the bound in its
        condition minus the first value of its counter, 0 if it is no constant.

        Args:
          computation: the name of the computation that holds the loop.
          loop: an instruction with the opcode `while`.
        Raises:
          ValueError: neither is known.
        """
        known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes)
        if known:
            return int(known.group(1))
        condition = self.computations[loop.called("condition")]
        bounds = [
            i.number for i in condition.values() if i.opcode == "constant" and i.number is not None
        ]
        if not bounds:
            raise ValueError(f"the condition of loop %{loop.name} has no constant bound")
        return max(bounds) - self._first_count(computation, loop)

    def _first_count(self, computation: str, loop: Instruction) -> int:
        """Returns the first value of a loop's counter: XLA may peel iterations off a loop."""
        known = self.computations[computation]
        start = known.get(loop.operands[0])
        if start is None or start.opcode != "tuple":
            return 0
        counter = known.get(start.operands[0])
        while counter is not None and counter.opcode == "copy" and counter.operands[0] in known:
            counter = known[counter.operands[0]]
        return counter.number if counter is not None and counter.opcode == "constant" else 0

    def walk(
        self, computation: str | None = None, times: int = 1
    ) -> Iterator[tuple[str, Instruction, int]]:
        """Yields (computation, instruction, times it runs) for every instruction that runs,
        including those in loops and fusions.

        Args:
          computation: the name of the one to begin with; None: the entry.
          times: how often that one runs, which multiplies all numbers.
        Raises:
          ValueError: see `trip_count`.
        """
        computation = computation or self.entry
        for instruction in self.computations[computation].values():
            yield computation, instruction, times
            is_loop = instruction.opcode == "while"
            runs = times * self.trip_count(computation, instruction) if is_loop else times
            for role in ("body", "calls", "to_apply"):
                called = instruction.called(role)
                if called in self.computations and (
                    role != "to_apply" or instruction.opcode in CALLS
                ):
                    yield from self.walk(called, runs)


def parse_hlo(text: str) -> Module:
    """Parses the text of a program that `jax.stages.Compiled.as_text()` returns.

    Raises:
      ValueError: the text has no entry computation.
    """
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header:
            current = computations.setdefault(header.group(2), {})
            entry = header.group(2) if header.group(1) else entry
            continue
        match = _INSTRUCTION.match(line) if current is not None else None
        if match:
            instruction = _parse_instruction(match.group(2), match.group(3))
            current[instruction.name] = instruction
    if not entry:
        raise ValueError(
            "this is not the text of a compiled XLA program: it has no ENTRY computation"
        )
    return Module(computations, entry)


def _parse_instruction(name: str, rest: str) -> Instruction:
    opcode = _OPCODE.search(" " + rest)
    before, after = (" " + rest)[: opcode.start()], (" " + rest)[opcode.end() :]
    end = _closing(after)
    inside, attributes = after[:end], after[end + 1 :]
    kind = opcode.group(1)
    is_number = kind in ("constant", "parameter") and re.fullmatch(r"-?\d+", inside)
    return Instruction(
        name=name,
        opcode=kind,
        results=tuple(_arrays(before)),
        operands=tuple(_NAME.findall(inside)),
        attributes=attributes,
        number=int(inside) if is_number else None,
    )


def _arrays(text: str) -> Iterator[Array]:
    for dtype, dims, layout in _ARRAY.findall(text):
        yield Array(
            dtype, tuple(int(d) for d in dims.split(",") if d), not re.search(r"S\([1-9]\)", layout)
        )


def _closing(text: str) -> int:
    """Returns the index of the parenthesis that closes the one before `text`."""
    depth = 1
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return index
    return len(text)
