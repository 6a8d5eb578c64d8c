"""The figures of a memory: recall under noise, familiarity, similarity, capacity of random items, and its work."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....base.measure.work import LayerCounts
from ....kernels.memory.packed.reference import unpack
from ....memory.macrocolumn.state import ColumnBatch
from ....memory.sdr.code import generator
from ..data import spread
from ..score import separation
from .config import MemoryConfig
from .items import MemoryItems
from .learned import Learned, learn, sizes_between
from .result import GroupFamiliarity, RecallAtSize, RecallUnderNoise

# Pairs of items, and of an item with a noisy copy, whose similarity is drawn.
PAIRS = 900
NOISY_PAIRS = 300
UNPACKED = 1024  # units whose weights are unpacked at a time
NOISY = 0.3  # share of moved bits in the noisy items of the familiarity and of the pictures


def noise(learned: Learned, config: MemoryConfig) -> list[RecallUnderNoise]:
    """Return the recall of stored items with each fraction of noise of the config."""
    chosen = learned.probes(config.sweep.probes)
    probes = learned.items.select(chosen)
    rows = []
    for k, fraction in enumerate(config.sweep.noise):
        noisy = probes.noisy(fraction, config.seed + 1 + k)
        batch = learned.recall(noisy)
        right = batch.codes == learned.codes[chosen]
        rows.append(
            RecallUnderNoise(
                noise=float(fraction),
                recall=float(right.mean()),
                exact=float(right.all(axis=1).mean()),
                accuracy=float(np.mean(learned.predict(noisy, batch) == probes.labels)),
                familiarity=float(batch.familiarity.mean()),
                known=float(np.mean(batch.familiarity >= config.column.threshold)),
            )
        )
    return rows


def familiarity(
    learned: Learned, new: MemoryItems, config: MemoryConfig
) -> tuple[dict[str, GroupFamiliarity], dict[str, NDArray[np.float64]]]:
    """Measure the familiarity of stored items, the same with noise, new items and random ones.

    Returns:
        The figures of each group, and the familiarities of its items.
    """
    probes = learned.items.select(learned.probes(config.sweep.probes))
    some = new.select(spread(len(new), config.sweep.probes))
    groups = {
        "stored": probes,
        "noisy": probes.noisy(min(NOISY, max(config.sweep.noise)), config.seed),
        "new": some,
        "random": random_items(len(probes), config),
    }
    values = {name: learned.recall(items).familiarity for name, items in groups.items()}
    figures = {
        name: GroupFamiliarity(
            items=len(own),
            mean=float(own.mean()),
            known=float(np.mean(own >= config.column.threshold)),
            separation=None if name == "stored" else separation(values["stored"], own),
        )
        for name, own in values.items()
    }
    return figures, values


def similarity(learned: Learned, config: MemoryConfig) -> dict[str, NDArray[np.float64]]:
    """Measure how similar items are, and how similar their codes.

    `inputs` and `codes`: the fractions of active bits and of winners that pairs of stored items share; a third of the
    pairs are nearest neighbours, a third of one class. `noisy_inputs` and `noisy_codes`: the same of a stored item
    and what is recalled of it with bits moved.
    """
    items = learned.items
    codes = learned.codes
    active = items.bits.shape[1]
    one, other, shared = _pairs(items, config.seed)
    probes = learned.probes(NOISY_PAIRS)
    fractions = np.asarray(config.sweep.noise)[np.arange(len(probes)) % len(config.sweep.noise)]
    moved = []
    for k, item in enumerate(probes):
        moved.append(items[item].noise(fractions[k], config.seed, k).indices)
    answers = learned.recall(MemoryItems(np.stack(moved), items.size, items.labels[probes]))
    return {
        "inputs": shared / active,
        "codes": (codes[one] == codes[other]).mean(axis=1) if len(one) else np.empty(0),
        "noisy_inputs": 1 - np.round(fractions * active) / active,
        "noisy_codes": (answers.codes == codes[probes]).mean(axis=1),
    }


def _pairs(items: MemoryItems, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return up to `PAIRS` pairs of different items, [n] and [n], and how many active bits each pair shares.

    A third of the pairs is drawn at random, a third of one class, a third are nearest neighbours.
    """
    rng = generator(seed, 0)
    dense = np.zeros((len(items), items.size), np.uint8)
    np.put_along_axis(dense, items.bits.astype(np.int64), 1, axis=1)
    one = rng.integers(len(items), size=PAIRS)
    other = rng.integers(len(items), size=PAIRS)
    for i in range(PAIRS):
        if i % 3 == 1:
            same = np.flatnonzero(items.labels == items.labels[one[i]])
            other[i] = same[rng.integers(len(same))]
        elif i % 3 == 2:
            in_common = dense[:, items.bits[one[i]]].sum(axis=1, dtype=np.int64)
            # An item is its own nearest neighbour.
            in_common[one[i]] = -1
            other[i] = int(in_common.argmax())
    differ = one != other
    one = one[differ]
    other = other[differ]
    shared = [dense[i, items.bits[j]].sum() for i, j in zip(one, other, strict=True)]
    return one, other, np.array(shared, np.float64)


def random_items(count: int, config: MemoryConfig) -> MemoryItems:
    """Return items with random active bits, for which the theory holds."""
    rng = generator(config.seed, 7)
    size = config.code.size
    active = config.code.active
    bits = np.stack([np.sort(rng.choice(size, active, replace=False)) for _ in range(count)])
    return MemoryItems(bits.astype(np.int32), size, np.zeros(count, np.int64))


def random_capacity(learned: Learned, config: MemoryConfig) -> list[RecallAtSize]:
    """Return the figures of `learn` for random items in a column of the same size, up to beyond its capacity."""
    # Items whose winners are recalled in theory.
    fits = learned.column.capacity(config.code.active)
    # A quarter beyond it, where recall falls, or as many as the config allows.
    largest = min(max(fits + fits // 4, 1), config.sweep.random)
    items = random_items(largest, config)
    # Where it falls, more closely.
    near = {round(share * fits) for share in (0.25, 0.5, 0.75, 1.0)}
    chosen = sorted({*sizes_between(largest, config.sweep.points), *(m for m in near if 1 <= m < largest)})
    return learn(config, learned.coder, items, learned.classes[:1], chosen)[1]


def work(learned: Learned, batch: ColumnBatch, items: MemoryItems) -> list[LayerCounts]:
    """Return the counts of recalling items: of patches, the encoder, the column, and the readout of classes."""
    n = len(items)
    coder = learned.coder.expansion
    owner = learned.column
    inputs = coder.mean.size
    units = owner.size
    return [
        *items.work,
        _layer(
            "encoder",
            (inputs, coder.size),
            n,
            weights=(coder.size * coder.fan,) * 2,
            events=(n * inputs, n * coder.active),
            operations=n * coder.size * coder.fan,
            bits=(1, 32),
            binary=False,
            index_bits=max(1, (inputs - 1).bit_length()),
        ),
        _layer(
            "column",
            (owner.inputs, units),
            n,
            weights=(owner.inputs * units, round(learned.memory.filled["U"] * owner.inputs * units)),
            events=(int(batch.active.sum()), int(np.count_nonzero(batch.codes >= 0))),
            operations=int(fan_out(learned)[items.bits].sum()),
            bits=(1, 16),
        ),
        _classes(learned, batch, items),
    ]


def _classes(learned: Learned, batch: ColumnBatch, items: MemoryItems) -> LayerCounts:
    """Return the counts of reading the classes of items."""
    if learned.weights is not None:
        return learned.weights.work(items.sparse(), "classes")
    n = len(items)
    units = learned.column.size
    classes = learned.labels.counts.shape[2]
    return _layer(
        "classes",
        (units, classes),
        n,
        weights=(units * classes, int(np.count_nonzero(learned.labels.counts))),
        events=(int(np.count_nonzero(batch.codes >= 0)), n * classes),
        operations=_class_operations(learned, batch),
        bits=(32, 32),
        spiking=False,
    )


def fan_out(learned: Learned) -> NDArray[np.int64]:
    """Return [inputs] the number of weights that are on, from each input bit."""
    packed = learned.memory.u[0]
    inputs = learned.column.inputs
    total = np.zeros(inputs, np.int64)
    for first in range(0, packed.shape[1], UNPACKED):
        # Weights are stored as bits; some units at a time, or they would fill the memory.
        total += unpack(np.ascontiguousarray(packed[:, first : first + UNPACKED].T), inputs).sum(axis=0, dtype=np.int64)
    return total


def _class_operations(learned: Learned, batch: ColumnBatch) -> int:
    known = np.count_nonzero(learned.labels.counts, axis=2)
    # Only counts other than zero are added; a code of -1 is of an item outside the column's bounds.
    ran = batch.codes[batch.codes[:, 0] >= 0]
    return int(known[np.arange(ran.shape[1]), ran].sum())


def _layer(
    name: str,
    sizes: tuple[int, int],
    samples: int,
    *,
    weights: tuple[int, int],
    events: tuple[int, int],
    operations: int,
    bits: tuple[int, int],
    binary: bool = True,
    spiking: bool = True,
    index_bits: int = 0,
) -> LayerCounts:
    """Return the counts of a layer of one step a sample without state between samples.

    Args:
        weights: that exist, and that are not zero.
        events: that came in and went out.
        bits: of a weight, and of a unit's sum.
    """
    inputs, outputs = sizes
    weight_bits, state_bits = bits
    return LayerCounts(
        name=name,
        inputs=inputs,
        outputs=outputs,
        weights=weights[0],
        nonzero_weights=weights[1],
        weight_bits=weight_bits,
        steps=samples,
        input_events=events[0],
        output_events=events[1],
        output_entries=samples * outputs,
        synaptic_operations=operations,
        binary_input=binary,
        dense_operations=samples * inputs * outputs,
        membrane_updates=samples * outputs,
        dense_membrane_updates=samples * outputs,
        state_bytes=outputs * state_bits // 8,
        parameter_bytes=-(-weights[0] * (weight_bits + index_bits) // 8),
        spiking=spiking,
        state_bits=state_bits,
        index_bits=index_bits,
        weight_type="int" if weight_bits == 1 and binary else "float",
    )
