"""Recordings that are slower, faster or longer than those that a liquid and its readout know."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from helpers.bars import bars

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError
from neurosim.learning import Liquid, Readout
from neurosim.learning.liquid.pace import Pace, in_pieces, pieces_of


def stretched(recordings: Recordings, factor: float) -> Recordings:
    return replace(recordings, ticks=recordings.ticks * factor, durations=recordings.durations * factor)


def row(recordings: Recordings, times: int) -> Recordings:
    """Return each recording several times in a row."""
    parts = []
    for spikes in recordings:
        at = np.concatenate([spikes.times + k * spikes.duration for k in range(times)])
        units = np.tile(spikes.units, times)
        parts.append(Spikes.sort(at, units, spikes.size, spikes.duration * times, spikes.shape))
    return Recordings.collect(parts, recordings.labels, recordings.classes)


def test_a_usual_number_of_events_is_another_pace_and_a_usual_rate_another_length() -> None:
    known = bars(10)
    pace = Pace.of(known)
    assert pace is not None
    assert pace.shortest == known.durations.min() and pace.longest == known.durations.max()
    assert (pace.factors(known) == 1).all() and pace.applied(known) is known
    for factor in (0.2, 0.4, 3.0, 10.0):
        np.testing.assert_allclose(pace.factors(stretched(known, factor)), pace.duration / known.durations / factor)
    # As many events a second as usual, ten times as long or cut to a fifth: the pace is the usual one.
    assert (pace.factors(row(known, 10)) == 1).all()
    cut = Recordings.collect([spikes.window(0, spikes.duration / 5) for spikes in known])
    assert (pace.factors(cut) == 1).all()
    # Durations within half of the known ones are left alone.
    assert (pace.factors(stretched(known, 1.2)) == 1).all()


def test_recordings_without_events_or_duration_have_no_pace() -> None:
    silent = Recordings.collect([Spikes(np.empty(0), np.empty(0, int), 4, 1.0)] * 2)
    assert Pace.of(silent) is None
    pace = Pace.of(bars(2))
    assert pace is not None and (pace.factors(silent) == 1).all()


def test_a_liquid_runs_slower_and_faster_recordings_as_those_it_knows() -> None:
    known = bars(10, ways=2)
    # All of one duration: the typical one is that of each.
    same = replace(known, durations=np.full(len(known), 0.08))
    liquid = Liquid(known.shape, neurons=60, patch_radius=0.08, in_degree=8).adapt(same)
    expected = liquid.run(same).recordings("liquid")
    for factor in (0.5, 2.0, 10.0):
        spikes = liquid.run(stretched(same, factor)).recordings("liquid")
        assert spikes.digest() == expected.digest()
        np.testing.assert_allclose(spikes.durations, 0.08)
    as_they_are = replace(liquid, own_pace=False).run(stretched(same, 2.0)).recordings("liquid")
    assert as_they_are.digest() != expected.digest() and as_they_are.durations[0] == 0.16


def test_pieces_hold_the_events_of_their_stretch_of_time() -> None:
    recordings = bars(3)
    counts = np.array([1, 2, 3, 1, 4, 1, 1, 2, 1, 1, 5, 1])
    pieces, owner = in_pieces(recordings, counts)
    assert owner.tolist() == np.repeat(np.arange(12), counts).tolist()
    assert pieces.labels is not None and recordings.labels is not None
    assert np.array_equal(pieces.labels, recordings.labels[owner])
    k = 0
    for spikes, count in zip(recordings, counts, strict=True):
        edges = np.linspace(0, spikes.duration, count + 1)
        for begin, end in itertools.pairwise(edges):
            last = end == edges[-1]
            inside = (spikes.times >= begin) & ((spikes.times < end) | last)
            np.testing.assert_allclose(pieces[k].times, spikes.times[inside] - begin, atol=1e-12)
            assert np.array_equal(pieces[k].units, spikes.units[inside])
            assert pieces[k].duration == pytest.approx(end - begin)
            k += 1
    assert k == len(pieces)
    with pytest.raises(NeurosimInputError, match=r"in_pieces.counts: must be 12 numbers of at least 1"):
        in_pieces(recordings, counts[1:])


def test_pieces_are_as_long_as_what_is_known() -> None:
    durations = np.array([0.1, 0.29, 0.31, 0.5, 2.0, 0.0])
    assert pieces_of(durations, 0.2).tolist() == [1, 1, 2, 2, 10, 1]
    assert pieces_of(durations, 0.0).tolist() == [1] * 6


@pytest.mark.parametrize("kind", ["ridge", "ann"])
def test_a_long_recording_is_read_in_pieces_whose_scores_are_averaged(kind: str) -> None:
    known = bars(12, ways=2)
    liquid = Liquid(known.shape, neurons=80, patch_radius=0.08, in_degree=8).adapt(known)
    spikes = liquid.run(known).recordings("liquid")
    readout = Readout(kind=kind, windows=2).fit(spikes, known.labels)  # type: ignore[arg-type]
    assert readout.duration == known.durations.max()
    mixed = liquid.run(Recordings.collect([known[0], *row(known.select([1]), 4)])).recordings("liquid")
    scores = readout.scores(mixed)
    assert np.array_equal(scores[0], readout.scores(mixed.select([0]))[0])
    counts = pieces_of(mixed.durations, readout.duration)
    assert counts[0] == 1 and counts[1] >= 3
    pieces, owner = in_pieces(mixed, counts)
    np.testing.assert_allclose(scores[1], readout.scores(pieces.select(owner == 1)).mean(axis=0))
    # The work of a recording is that of its pieces.
    work = readout.work(mixed)[0]
    assert work.synaptic_operations == readout.work(pieces)[0].synaptic_operations


def test_accuracy_stays_where_recordings_are_slow_fast_or_long() -> None:
    known = bars(20)
    other = bars(10, 500)
    liquid = Liquid(known.shape, neurons=150, patch_radius=0.08).adapt(known)
    readout = Readout().fit(liquid.run(known).recordings("liquid"), known.labels)

    def accuracy(recordings: Recordings) -> float:
        return float((readout.predict(liquid.run(recordings).recordings("liquid")) == other.labels).mean())

    clean = accuracy(other)
    assert clean > 0.85
    for disturbed in (stretched(other, 0.5), stretched(other, 2.0), stretched(other, 10.0), row(other, 10)):
        assert accuracy(disturbed) >= clean - 0.1
