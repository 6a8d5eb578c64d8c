"""Energy estimates from counts and a profile: never a measurement, and every figure says what it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import require
from . import traffic
from .measures import Unknown, total
from .profiles import PROFILES, MemoryCosts, Profile, find
from .traffic import Traffic
from .work import LayerCounts

DEFAULT = "horowitz45"
Range = tuple[float, float]
Json = dict[str, object]

COMPUTE = ("synapses", "neurons")
MEMORY = ("weights", "state", "events")
MEANINGS: Mapping[str, str] = {
    "compute_only": "Arithmetic alone: effective operations (an addition, or a MAC where inputs are not binary) and a "
    "MAC for each membrane update. No memory.",
    "memory_aware": "The same, and every bit moved: weights, state and events, each from a memory as large as what a "
    "layer stores (Lemaire et al. 2022, arXiv 2210.13107).",
    "dense_compute_only": "The same units fully connected, at equal precision, every weight multiplied and every unit "
    "updated at each step. No memory.",
    "dense_memory_aware": "The dense network with every weight, state variable and activation it moves.",
}
PUBLISHED = "Effective operations times the chip's published energy per synaptic event; memory is inside that figure."


def energy(layers: Iterable[LayerCounts], samples: int, profile: str | Path | Profile = DEFAULT) -> Json:
    """Energy estimates in joules per sample: as run and as a dense network of equal precision.

    Each estimate is {"low": J, "high": J} (they differ where the profile gives a range, as DRAM does) or None, and
    then `reasons` says why. `items` splits them, `memories` says what was held where, `published` lists every
    chip's per-event figure beside.

    Args:
        layers: of the whole network.
        samples: that were run.
        profile: a name in PROFILES, or the path of a TOML file.

    Raises:
        NeurosimInputError: no layers, no samples, an unknown or malformed profile.
    """
    every = tuple(layers)
    require(len(every) > 0, "energy.layers", "needs at least one layer", 0)
    require(samples > 0, "energy.samples", "must be > 0", samples)
    chosen = find(profile)
    estimates = _of_chip(every, chosen) if chosen.synaptic_event else _of_operations(every, chosen)
    return {
        "profile": chosen.name,
        "title": chosen.title,
        "node": chosen.node,
        "source": chosen.source,
        "scope": chosen.scope,
        "unit": "J per sample, estimated",
        **_per_sample(estimates, samples),
        "published": [_published(every, samples, p) for p in PROFILES.values() if p.synaptic_event],
    }


def _of_operations(layers: Sequence[LayerCounts], profile: Profile) -> Json:
    """All estimates, in pJ in total over samples."""
    found: Json = dict.fromkeys(MEANINGS)
    found |= {"items": {}, "memories": [], "reasons": {}}
    for prefix, needs, view in _VIEWS:
        names = (f"{prefix}compute_only", f"{prefix}memory_aware")
        try:
            for need in needs:
                total(layers, need)
            items = _items([(layer, view(layer)) for layer in layers], profile)
        except Unknown as unknown:
            found["reasons"] |= dict.fromkeys(names, str(unknown))  # type: ignore[operator]
            continue
        found[names[0]] = _sum(items[k] for k in COMPUTE)
        found[names[1]] = _sum(items.values()) if profile.memory else None
        found["items"]["dense" if prefix else "as_run"] = items  # type: ignore[index]
    found["memories"] = [_memories(layer, profile.memory) for layer in layers] if profile.memory else []
    return found


_VIEWS: tuple[tuple[str, tuple[str, ...], Callable[[LayerCounts], Traffic]], ...] = (
    ("", traffic.EVENT_NEEDS, traffic.as_run),
    ("dense_", traffic.DENSE_NEEDS, traffic.as_dense),
)


def _items(work: Sequence[tuple[LayerCounts, Traffic]], profile: Profile) -> dict[str, Range]:
    """pJ of each kind of work, over all layers."""
    memory = profile.memory
    parts: dict[str, list[Range]] = {name: [] for name in (COMPUTE + MEMORY if memory else COMPUTE)}
    for layer, moved in work:
        cost = profile.operation(layer.weight_type, layer.weight_bits)
        if cost is None:
            kind = f"{layer.weight_bits}-bit {layer.weight_type}"
            raise Unknown(f"{layer.name}: {profile.name} has no figure for {kind} arithmetic")
        mac = cost.add + cost.multiply
        synapses = moved.accumulations * cost.add + moved.multiplications * mac
        parts["synapses"].append((synapses, synapses))
        parts["neurons"].append((moved.updates * mac, moved.updates * mac))
        if memory:
            parts["weights"].append(_scale(memory.per_bit(moved.weight_bytes), moved.weights))
            parts["state"].append(_scale(memory.per_bit(moved.state_bytes), moved.state))
            parts["events"].append(_scale(memory.per_bit(moved.event_bytes), moved.events))
    return {name: _sum(ranges) for name, ranges in parts.items()}


def _memories(layer: LayerCounts, memory: MemoryCosts) -> Json:
    run, dense = layer.parameter_bytes, (layer.dense_weights or 0) * layer.weight_bits // 8
    return {
        "layer": layer.name,
        "weights_bytes": run,
        "weights_in": memory.kind(run),
        "state_bytes": layer.state_bytes,
        "state_in": memory.kind(layer.state_bytes),
        "dense_weights_bytes": dense,
        "dense_weights_in": memory.kind(dense),
    }


def _of_chip(layers: Sequence[LayerCounts], profile: Profile) -> Json:
    """A chip's published figure holds its memory accesses; it says nothing of arithmetic or of a dense network."""
    why = f"{profile.title} publishes one figure per synaptic event"
    found: Json = {"compute_only": None, "dense_compute_only": None, "dense_memory_aware": None}
    value, reason = _event_energy(layers, profile)
    reasons = dict.fromkeys(found, why) | ({"memory_aware": reason} if value is None else {})
    return found | {"memory_aware": value, "items": {}, "memories": [], "reasons": reasons}


def _event_energy(layers: Sequence[LayerCounts], profile: Profile) -> tuple[Range | None, str]:
    """pJ of all effective operations, or None and why."""
    event = profile.synaptic_event
    if event is None or event.energy is None:
        return None, event.reason if event else "no figure per synaptic event"
    try:
        return _scale(event.energy, total(layers, "synaptic_operations")), ""
    except Unknown as unknown:
        return None, str(unknown)


def _published(layers: Sequence[LayerCounts], samples: int, profile: Profile) -> Json:
    value, reason = _event_energy(layers, profile)
    event = profile.synaptic_event.energy if profile.synaptic_event else None
    return {
        "profile": profile.name,
        "title": profile.title,
        "node": profile.node,
        "source": profile.source,
        "scope": profile.scope,
        "pj_per_synaptic_event": None if event is None else {"low": event[0], "high": event[1]},
        "energy": None if value is None else _joules(value, samples),
        "reason": reason or None,
    }


def _per_sample(tree: Mapping[str, object], samples: int) -> Json:
    """Every (low, high) in pJ in total becomes {"low", "high"} in joules per sample."""
    return {
        key: _joules(value, samples)
        if isinstance(value, tuple)
        else _per_sample(value, samples)
        if isinstance(value, dict) and key != "reasons"
        else value
        for key, value in tree.items()
    }


def _joules(picojoules: Range, samples: int) -> Json:
    return {"low": picojoules[0] * 1e-12 / samples, "high": picojoules[1] * 1e-12 / samples}


def _scale(cost: Range, amount: float) -> Range:
    return cost[0] * amount, cost[1] * amount


def _sum(ranges: Iterable[Range]) -> Range:
    lows, highs = zip(*ranges, strict=True)
    return sum(lows), sum(highs)
