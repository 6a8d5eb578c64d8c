"""Energy estimates from counts and a profile; never measurements, and every figure says what it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import NeurosimInputError, lookup, require
from ..plain import Record
from . import traffic
from .measures import Unknown, total
from .profiles import PROFILES, Arithmetic, MemoryCosts, Profile, find
from .traffic import Traffic
from .work import LayerCounts

DEFAULT = "horowitz45"
Range = tuple[float, float]

COMPUTE = ("synapses", "neurons")
MEMORY = ("weights", "state", "events")
MEANINGS: Mapping[str, str] = {
    "compute_only": "Arithmetic alone: effective operations (an addition, or a MAC where inputs are not binary; "
    "integers are added at the width of their sum) and a MAC for each membrane update. No memory.",
    "memory_aware": "The same, and every bit moved: weights, state and events, each from a memory as large as what a "
    "layer stores (Lemaire et al. 2022, arXiv 2210.13107).",
    "dense_compute_only": "The same layers at equal precision, clocked and dense: every weight multiplied and every "
    "unit updated at each step. No memory.",
    "dense_memory_aware": "The dense network with every weight, state variable and activation it moves.",
}
PUBLISHED = "Effective operations times the chip's published energy per synaptic event; memory is inside that figure."


@dataclass(frozen=True)
class EnergyRange(Record):
    """A lowest and a highest energy; in J unless stated otherwise."""

    low: float
    high: float

    def __repr__(self) -> str:
        if self.low == self.high:
            return f"{self.low:.4g}"
        return f"{self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True)
class LayerMemory(Record):
    """Bytes that a layer stores, and the kind of memory ("SRAM" or "DRAM") whose costs they have."""

    layer: str
    weights_bytes: int
    weights_in: str
    state_bytes: int
    state_in: str
    dense_weights_bytes: int
    dense_weights_in: str


@dataclass(frozen=True)
class PublishedEstimate(Record):
    """Estimate from a chip's published energy per synaptic event; None with a reason where it cannot be known."""

    profile: str
    title: str
    node: str
    source: str
    scope: str
    pj_per_synaptic_event: EnergyRange | None
    energy: EnergyRange | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class EnergyEstimates(Record):
    """Energy estimates per sample, as run and as a dense network of equal precision.

    Low and high differ where the profile gives a range, as for DRAM. An estimate is None where it cannot be known;
    `reasons` then says why.

    Attributes:
        profile, title, node, source, scope: see `Profile`.
        unit: of every estimate.
        compute_only, memory_aware, dense_compute_only, dense_memory_aware: see `MEANINGS`.
        items: parts of the estimates "as_run" and "dense", by the names in `COMPUTE` and `MEMORY`.
        memories: memory of each layer.
        reasons: by the name of an estimate.
        published: the estimate from each chip's published figure.
    """

    profile: str
    title: str
    node: str
    source: str
    scope: str
    unit: str = "J per sample, estimated"
    compute_only: EnergyRange | None = None
    memory_aware: EnergyRange | None = None
    dense_compute_only: EnergyRange | None = None
    dense_memory_aware: EnergyRange | None = None
    items: Mapping[str, Mapping[str, EnergyRange]] = field(default_factory=dict)
    memories: tuple[LayerMemory, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    published: tuple[PublishedEstimate, ...] = ()

    def __getitem__(self, name: str) -> EnergyRange:
        """Return the estimate `name` of `MEANINGS`.

        Raises:
            NeurosimInputError: there is no such estimate, or it cannot be known: gives the reason.
        """
        lookup(MEANINGS, name, "EnergyEstimates")
        value: EnergyRange | None = getattr(self, name)
        if value is None:
            raise NeurosimInputError(f"EnergyEstimates[{name!r}]: is not known, because {self.reasons.get(name)}")
        return value

    def facts(self) -> Mapping[str, object]:
        """Return the profile and the estimates in J per sample; in place of one that is not known, the reason."""
        values = {name: self.reasons.get(name, getattr(self, name)) for name in MEANINGS}
        return {"profile": self.profile, **values}


def energy(layers: Iterable[LayerCounts], samples: int, profile: str | Path | Profile = DEFAULT) -> EnergyEstimates:
    """Return energy estimates per sample.

    Args:
        layers: of the whole network.
        samples: number of samples of the run.
        profile: a name in PROFILES, or the path of a TOML file.

    Raises:
        NeurosimInputError: no layers, no samples, an unknown or malformed profile.
    """
    every = tuple(layers)
    require(len(every) > 0, "energy.layers", "needs at least one layer", 0)
    require(samples > 0, "energy.samples", "must be > 0", samples)
    costs = find(profile)
    if costs.synaptic_event:
        totals = _of_chip(every, costs)
    else:
        totals = _of_operations(every, costs)
    # Costs are in pJ and summed over samples; estimates are in J per sample.
    estimates = {name: value and _joules(value, samples) for name, value in totals.estimates.items()}
    items = {}
    for view, parts in totals.items.items():
        items[view] = {name: _joules(value, samples) for name, value in parts.items()}
    memories: tuple[LayerMemory, ...] = ()
    if costs.memory:
        memories = tuple(_memory(layer, costs.memory) for layer in every)
    chips = [chip for chip in PROFILES.values() if chip.synaptic_event]
    return EnergyEstimates(
        profile=costs.name,
        title=costs.title,
        node=costs.node,
        source=costs.source,
        scope=costs.scope,
        **estimates,  # type: ignore[arg-type]
        items=items,
        memories=memories,
        reasons=totals.reasons,
        published=tuple(_published(every, samples, chip) for chip in chips),
    )


@dataclass
class _Totals:
    """Estimates in pJ, summed over samples."""

    estimates: dict[str, Range | None] = field(default_factory=dict)
    items: dict[str, dict[str, Range]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def _of_operations(layers: Sequence[LayerCounts], profile: Profile) -> _Totals:
    """Return the estimates from costs of operations; one is blank, with a reason, where a layer lacks a count."""
    totals = _Totals()
    # Sums that stay in registers move no state for each operation.
    sums = profile.memory.sums if profile.memory else "memory"
    events = traffic.REGISTER_NEEDS if sums == "registers" else traffic.EVENT_NEEDS
    views: tuple[tuple[str, tuple[str, ...], Callable[[LayerCounts], Traffic]], ...] = (
        ("", events, lambda layer: traffic.as_run(layer, sums)),
        ("dense_", traffic.DENSE_NEEDS, traffic.as_dense),
    )
    for prefix, needs, view in views:
        names = (f"{prefix}compute_only", f"{prefix}memory_aware")
        try:
            # Summed for the error alone: `Unknown` where a layer lacks a count.
            for need in needs:
                total(layers, need)
            items = _items([(layer, view(layer)) for layer in layers], profile)
        except Unknown as unknown:
            totals.reasons |= dict.fromkeys(names, str(unknown))
            continue
        compute_only, memory_aware = names
        totals.estimates[compute_only] = _sum(items[k] for k in COMPUTE)
        if profile.memory:
            totals.estimates[memory_aware] = _sum(items.values())
        else:
            totals.estimates[memory_aware] = None
        totals.items["dense" if prefix else "as_run"] = items
    return totals


def _items(work: Sequence[tuple[LayerCounts, Traffic]], profile: Profile) -> dict[str, Range]:
    """Return the pJ of each kind of work, over all layers."""
    memory = profile.memory
    names = COMPUTE + MEMORY if memory else COMPUTE
    parts: dict[str, list[Range]] = {name: [] for name in names}
    for layer, moved in work:
        cost = _operation(layer, profile, layer.weight_bits)
        # Integers are multiplied at the width of the weights, and added at the width of their sum.
        if layer.weight_type == "int":
            bits = max(layer.weight_bits, layer.state_bits)
        else:
            bits = layer.weight_bits
        add = _operation(layer, profile, bits).add
        # A multiply-accumulate adds as well, at the width of the sum; a membrane update is one such operation.
        mac = add + cost.multiply
        synapses = moved.accumulations * add + moved.multiplications * mac
        # Arithmetic has one cost; only memory has a range.
        parts["synapses"].append((synapses, synapses))
        parts["neurons"].append((moved.updates * mac, moved.updates * mac))
        if memory:
            parts["weights"].append(_scale(memory.per_bit(moved.weight_bytes), moved.weights))
            parts["state"].append(_scale(memory.per_bit(moved.state_bytes), moved.state))
            parts["events"].append(_scale(memory.per_bit(moved.event_bytes), moved.events))
    return {name: _sum(ranges) for name, ranges in parts.items()}


def _operation(layer: LayerCounts, profile: Profile, bits: int) -> Arithmetic:
    cost = profile.operation(layer.weight_type, bits)
    if cost is None:
        kind = f"{bits}-bit {layer.weight_type}"
        raise Unknown(f"{layer.name}: {profile.name} has no figure for {kind} arithmetic")
    return cost


def _memory(layer: LayerCounts, memory: MemoryCosts) -> LayerMemory:
    run = layer.memory_bytes
    dense = (layer.dense_weights or 0) * layer.weight_bits // 8
    return LayerMemory(
        layer=layer.name,
        weights_bytes=run,
        weights_in=memory.kind(run),
        state_bytes=layer.state_bytes,
        state_in=memory.kind(layer.state_bytes),
        dense_weights_bytes=dense,
        dense_weights_in=memory.kind(dense),
    )


def _of_chip(layers: Sequence[LayerCounts], profile: Profile) -> _Totals:
    """Return the estimate of a chip; its figure includes memory and tells nothing of arithmetic or a dense network."""
    why = f"{profile.title} publishes one figure per synaptic event"
    reasons = dict.fromkeys(("compute_only", "dense_compute_only", "dense_memory_aware"), why)
    value, reason = _event_energy(layers, profile)
    if value is None:
        reasons["memory_aware"] = reason
    return _Totals(estimates={"memory_aware": value}, reasons=reasons)


def _event_energy(layers: Sequence[LayerCounts], profile: Profile) -> tuple[Range | None, str]:
    """Return the pJ of all effective operations, or None and the reason."""
    event = profile.synaptic_event
    if event is None or event.energy is None:
        return None, event.reason if event else "no figure per synaptic event"
    try:
        return _scale(event.energy, total(layers, "synaptic_operations")), ""
    except Unknown as unknown:
        return None, str(unknown)


def _published(layers: Sequence[LayerCounts], samples: int, profile: Profile) -> PublishedEstimate:
    value, reason = _event_energy(layers, profile)
    if profile.synaptic_event:
        event = profile.synaptic_event.energy
    else:
        event = None
    return PublishedEstimate(
        profile=profile.name,
        title=profile.title,
        node=profile.node,
        source=profile.source,
        scope=profile.scope,
        pj_per_synaptic_event=event and EnergyRange(*event),
        energy=value and _joules(value, samples),
        reason=reason or None,
    )


def _joules(picojoules: Range, samples: int) -> EnergyRange:
    return EnergyRange(picojoules[0] * 1e-12 / samples, picojoules[1] * 1e-12 / samples)


def _scale(cost: Range, amount: float) -> Range:
    return cost[0] * amount, cost[1] * amount


def _sum(ranges: Iterable[Range]) -> Range:
    lows, highs = zip(*ranges, strict=True)
    return sum(lows), sum(highs)
