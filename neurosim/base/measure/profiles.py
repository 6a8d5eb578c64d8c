"""Energy profiles: the TOML files in the folder beside this module, and files of users."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from ..errors import NeurosimError, lookup, require
from ..json_toml import read_toml
from ..plain import from_plain
from ..shown import Shown

FOLDER = Path(__file__).with_name("profiles")


@dataclass(frozen=True)
class Arithmetic:
    """Energy of one addition and one multiplication, in pJ, on `bits` of "int" or "float"."""

    type: Literal["float", "int"]
    bits: int
    add: float
    multiply: float

    def __post_init__(self) -> None:
        for name in ("bits", "add", "multiply"):
            _require_positive(f"[[arithmetic]] {name}", getattr(self, name))


@dataclass(frozen=True)
class MemoryCosts:
    """Energy of moving `access_bits` bits, in pJ, by the size of the memory that holds them.

    Attributes:
        access_bits: bits of one access.
        sram: (bytes, pJ) of memories on the chip, ascending.
        dram: (low, high) pJ of memories larger than the largest SRAM.
        sums: where the sums of a layer stay while the rows of one step are added to them: "memory", read and written
            for each operation, or "registers", read and written once a step. Those of a dense network are in registers.
    """

    access_bits: int
    sram: tuple[tuple[float, float], ...]
    dram: tuple[float, float]
    sums: Literal["memory", "registers"] = "memory"

    def __post_init__(self) -> None:
        _require_positive("[memory] access_bits", self.access_bits)
        good = all(_positive(value) for point in self.sram for value in point)
        rises = all(low < high for (low, _), (high, _) in pairwise(self.sram))
        rule = "must be [[bytes, pJ], ...], numbers > 0, bytes ascending"
        require(bool(self.sram) and good and rises, "[memory] sram", rule, self.sram)
        _require_range("[memory] dram", self.dram)

    def kind(self, size: float) -> str:
        return "SRAM" if size <= self.sram[-1][0] else "DRAM"

    def per_bit(self, size: float) -> tuple[float, float]:
        """Return (low, high) pJ to move one bit of a memory of `size` bytes.

        Between the points of the table the cost is a straight line on logarithmic axes: energy grows with wire length,
        a power of the size. Below the table it is the smallest entry, above it the energy of DRAM.
        """
        if self.kind(size) == "DRAM":
            return self.dram[0] / self.access_bits, self.dram[1] / self.access_bits
        cost = self.sram[0][1]
        for (a, low), (b, high) in pairwise(self.sram):
            if a < size <= b:
                # log cost is linear in log size: cost = low (size / a)^k with k = log(high / low) / log(b / a).
                cost = low * (high / low) ** (math.log(size / a) / math.log(b / a))
        return cost / self.access_bits, cost / self.access_bits


@dataclass(frozen=True)
class SynapticEvent:
    """A chip's published energy of one synaptic event, `low` to `high` pJ, or the reason why there is none."""

    low: float | None = None
    high: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.reason:
            require(self.low is None and self.high is None, "[synaptic_event]", "needs low and high, or reason", "both")
            return
        for name in ("low", "high"):
            _require_positive(f"[synaptic_event] {name}", getattr(self, name))
        _require_range("[synaptic_event] low and high", self.energy)

    @property
    def energy(self) -> tuple[float, float] | None:
        """Return (low, high) pJ, or None."""
        if self.low is None or self.high is None:
            return None
        return (self.low, self.high)


@dataclass(frozen=True)
class Profile(Shown):
    """Energy costs and their source: costs per operation, or a chip's cost per synaptic event.

    It may be copied and pickled.

    Attributes:
        name: the stem of the file's name.
        title, node, source, scope: device or method, process, publication, and what the costs leave out.
        arithmetic, memory: costs per operation; () and None for a chip.
        synaptic_event: of a chip; None for costs per operation.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    name: str
    title: str
    node: str
    source: str
    scope: str
    arithmetic: tuple[Arithmetic, ...] = ()
    memory: MemoryCosts | None = None
    synaptic_event: SynapticEvent | None = None

    def __post_init__(self) -> None:
        for name in ("title", "node", "source", "scope"):
            require(bool(getattr(self, name)), name, "must not be empty", repr(getattr(self, name)))
        per_operation = bool(self.arithmetic and self.memory)
        # Costs of operations and of a chip's event would count the same work twice.
        got = [name for name in ("arithmetic", "memory", "synaptic_event") if getattr(self, name)]
        rule = "needs either [[arithmetic]] with [memory], or [synaptic_event]"
        require(per_operation != bool(self.synaptic_event), "profile", rule, ", ".join(got) or "none")

    def operation(self, kind: str, bits: int) -> Arithmetic | None:
        """Return the narrowest arithmetic of that kind with at least `bits` bits, or None."""
        fits = [a for a in self.arithmetic if a.type == kind and a.bits >= bits]
        return min(fits, key=lambda a: a.bits, default=None)


def read(path: Path | str) -> Profile:
    """Return the profile of a TOML file.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimInputError: not TOML, or a key that is missing, unknown or of the wrong type; names file and key.
    """
    table = read_toml(path)
    try:
        return from_plain(Profile, {"name": Path(path).stem} | table, "profile")
    except NeurosimError as error:
        raise type(error)(f"{path}: {error}; see neurosim/base/measure/profiles for examples") from None


def find(profile: str | Path | Profile) -> Profile:
    """Return a built-in profile by name, or one of a user by the path of its `.toml` file.

    Raises:
        NeurosimInputError: no such profile, with the nearest name.
    """
    if isinstance(profile, Profile):
        return profile
    if isinstance(profile, Path) or profile.endswith(".toml"):
        return read(Path(profile))
    return lookup(PROFILES, profile, "energy profile")


def _positive(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _require_positive(name: str, value: float | None) -> None:
    require(_positive(value), name, "must be a number > 0", value)


def _require_range(name: str, value: tuple[float, float] | None) -> None:
    good = value is not None and all(map(_positive, value)) and value[0] <= value[1]
    require(good, name, "must be (low, high), numbers > 0", value)


PROFILES: Mapping[str, Profile] = {path.stem: read(path) for path in sorted(FOLDER.glob("*.toml"))}
