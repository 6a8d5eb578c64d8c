"""Energy profiles: TOML files, those in the folder beside this module and any a user writes."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import NeurosimInputError, NeurosimMissingError, lookup, require
from .work import WEIGHT_TYPES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).with_name("profiles")
TEXTS = ("title", "node", "source", "scope")


@dataclass(frozen=True)
class Arithmetic:
    """Energy of one addition and one multiplication, in pJ, at `bits` of "int" or "float"."""

    type: str
    bits: int
    add: float
    multiply: float


@dataclass(frozen=True)
class MemoryCosts:
    """Energy of moving `access_bits` bits, in pJ, by the size of the memory they lie in.

    Attributes:
        access_bits: of one access.
        sram: (bytes, pJ), ascending.
        dram: (low, high) pJ for whatever is larger than the largest SRAM.
    """

    access_bits: int
    sram: tuple[tuple[float, float], ...]
    dram: tuple[float, float]

    def kind(self, size: float) -> str:
        return "SRAM" if size <= self.sram[-1][0] else "DRAM"

    def per_bit(self, size: float) -> tuple[float, float]:
        """(low, high) pJ to move one bit of a memory of `size` bytes.

        Straight between the table's points on logarithmic axes, where wire length, hence energy, goes with a power
        of the size; the smallest entry below the table; DRAM above it.
        """
        if self.kind(size) == "DRAM":
            return self.dram[0] / self.access_bits, self.dram[1] / self.access_bits
        cost = self.sram[0][1]
        for (a, low), (b, high) in zip(self.sram[:-1], self.sram[1:], strict=True):
            if a < size <= b:
                cost = low * (high / low) ** (math.log(size / a) / math.log(b / a))
        return cost / self.access_bits, cost / self.access_bits


@dataclass(frozen=True)
class SynapticEvent:
    """A chip's published energy of one synaptic event, (low, high) in pJ, or None and the reason."""

    energy: tuple[float, float] | None
    reason: str = ""


@dataclass(frozen=True)
class Profile:
    """Where energy figures come from and what they are: costs per operation, or a chip's per synaptic event.

    Attributes:
        name: the file's stem.
        title, node, source, scope: what is costed, in which process, who published it, what it leaves out.
        arithmetic, memory: costs per operation; () and None for a chip.
        synaptic_event: a chip's figure; None for costs per operation.
    """

    name: str
    title: str
    node: str
    source: str
    scope: str
    arithmetic: tuple[Arithmetic, ...] = ()
    memory: MemoryCosts | None = None
    synaptic_event: SynapticEvent | None = None

    def operation(self, kind: str, bits: int) -> Arithmetic | None:
        """The narrowest arithmetic of that kind with at least `bits` bits."""
        fits = [a for a in self.arithmetic if a.type == kind and a.bits >= bits]
        return min(fits, key=lambda a: a.bits, default=None)


def read(path: Path) -> Profile:
    """A profile from its TOML file.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimInputError: not TOML, or a key that is missing, unknown or of the wrong kind; names file and key.
    """
    try:
        table = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise NeurosimMissingError(f"{path}: cannot be read ({error.strerror}); give an energy profile") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NeurosimInputError(
            f"{path}: must be TOML ({error}); see neurosim/measure/profiles for examples"
        ) from None
    entry = _Table(str(path), table)
    per_operation, per_event = "arithmetic" in table, "synaptic_event" in table
    rule = "needs either [[arithmetic]] with [memory], or [synaptic_event]"
    require(per_operation != per_event, str(path), rule, ", ".join(table) or "nothing")
    entry.only(*TEXTS, *(("synaptic_event",) if per_event else ("arithmetic", "memory")))
    title, node, source, scope = (entry.text(key) for key in TEXTS)
    described = Profile(Path(path).stem, title, node, source, scope)
    if per_event:
        return replace(described, synaptic_event=_event(entry.table("synaptic_event")))
    arithmetic = tuple(_arithmetic(t) for t in entry.tables("arithmetic"))
    return replace(described, arithmetic=arithmetic, memory=_memory(entry.table("memory")))


def find(profile: str | Path | Profile) -> Profile:
    """A built-in profile by name, or a user's by the path of its `.toml` file.

    Raises:
        NeurosimInputError: no such profile, with the nearest name.
    """
    if isinstance(profile, Profile):
        return profile
    if isinstance(profile, Path) or profile.endswith(".toml"):
        return read(Path(profile))
    return lookup(PROFILES, profile, "energy profile")


@dataclass(frozen=True)
class _Table:
    """A TOML table that knows where it stands, so that its errors do too."""

    where: str
    values: Mapping[str, Any]

    def fail(self, key: str, rule: str) -> NeurosimInputError:
        got = f"got {self.values[key]!r:.60}" if key in self.values else "it is missing"
        return NeurosimInputError(f"{self.where}: {key}: {rule} ({got})")

    def only(self, *keys: str) -> None:
        for key in self.values:
            if key not in keys:
                lookup(dict.fromkeys(keys), key, f"{self.where}: key")

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.fail(key, "must be a text")
        return value

    def number(self, key: str) -> float:
        value = self.values.get(key)
        if not _positive(value):
            raise self.fail(key, "must be a number > 0")
        return float(value)  # type: ignore[arg-type]

    def pair(self, key: str) -> tuple[float, float]:
        value = self.values.get(key)
        if not (isinstance(value, list) and len(value) == 2 and all(map(_positive, value)) and value[0] <= value[1]):
            raise self.fail(key, "must be [low, high], numbers > 0")
        return float(value[0]), float(value[1])

    def table(self, key: str) -> _Table:
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.fail(key, f"must be a table [{key}]")
        return _Table(f"{self.where}: [{key}]", value)

    def tables(self, key: str) -> list[_Table]:
        value = self.values.get(key)
        if not (isinstance(value, list) and value and all(isinstance(v, dict) for v in value)):
            raise self.fail(key, f"must be tables [[{key}]]")
        return [_Table(f"{self.where}: [[{key}]] {k}", v) for k, v in enumerate(value)]


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _arithmetic(entry: _Table) -> Arithmetic:
    entry.only("type", "bits", "add", "multiply")
    kind = entry.text("type")
    if kind not in WEIGHT_TYPES:
        raise entry.fail("type", f"must be one of {', '.join(WEIGHT_TYPES)}")
    return Arithmetic(kind, int(entry.number("bits")), entry.number("add"), entry.number("multiply"))


def _memory(entry: _Table) -> MemoryCosts:
    entry.only("access_bits", "sram", "dram")
    points = entry.values.get("sram")
    rule = "must be [[bytes, pJ], ...], numbers > 0, bytes ascending"
    if not (isinstance(points, list) and points):
        raise entry.fail("sram", rule)
    for point in points:
        if not (isinstance(point, list) and len(point) == 2 and all(map(_positive, point))):
            raise entry.fail("sram", rule)
    sizes = [point[0] for point in points]
    if sizes != sorted(set(sizes)):
        raise entry.fail("sram", rule)
    sram = tuple((float(size), float(cost)) for size, cost in points)
    return MemoryCosts(int(entry.number("access_bits")), sram, entry.pair("dram"))


def _event(entry: _Table) -> SynapticEvent:
    entry.only("low", "high", "reason")
    if "reason" in entry.values:
        return SynapticEvent(None, entry.text("reason"))
    low, high = entry.number("low"), entry.number("high")
    if low > high:
        raise entry.fail("high", f"must be >= low {low}")
    return SynapticEvent((low, high))


PROFILES: Mapping[str, Profile] = {path.stem: read(path) for path in sorted(FOLDER.glob("*.toml"))}
