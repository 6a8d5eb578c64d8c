"""Likelihood, SDR classifier and the detector of series: closed forms, plain references, and saved states."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.memory import SDR, CategoryEncoder
from neurosim.memory.sdr.encoders import CoordinateEncoder, DateEncoder
from neurosim.memory.series.classifier import SDRClassifier
from neurosim.memory.series.detector import AnomalyDetector, number_encoder
from neurosim.memory.series.likelihood import AnomalyLikelihood, JumpSurprise

HOUR = 3600.0


def test_a_date_is_near_its_neighbours_in_time() -> None:
    encoder = DateEncoder(weekend=21, season=21)
    monday = encoder.encode(datetime(2014, 6, 2, 23, 0))
    assert len(monday) == 63 and encoder.size == 54 + 42 + 84
    # Across midnight the time of day goes on, and Monday and Tuesday share weekend and nearly the season.
    assert monday.overlap(encoder.encode(datetime(2014, 6, 3, 1, 0))) >= 21 + 20 + 16
    assert monday.overlap(encoder.encode(datetime(2014, 6, 7, 23, 0))) < 21 + 21
    assert monday == encoder.encode(np.datetime64("2014-06-02T23:00")) == encoder.encode(1401750000.0)


def test_times_of_day_share_bits_up_to_the_radius() -> None:
    encoder = DateEncoder(hours=6.0, time_of_day=12)
    start = encoder.encode(8 * HOUR)
    assert [start.overlap(encoder.encode((8 + h) * HOUR)) for h in range(8)] == [12, 10, 8, 6, 4, 2, 0, 0]


@pytest.mark.parametrize("never", [1e12, -1e12, 1e30, np.datetime64("NaT"), np.datetime64("20000-01-01")])
def test_a_time_that_no_date_has_is_refused(never: object) -> None:
    with pytest.raises(NeurosimInputError, match=r"DateEncoder\.encode: must be a time of the years 1 to 9999"):
        DateEncoder().encode(never)


def test_a_date_without_a_part_is_refused() -> None:
    with pytest.raises(NeurosimInputError, match=r"DateEncoder: must have a part with active bits"):
        DateEncoder(time_of_day=0)
    with pytest.raises(NeurosimInputError, match=r"DateEncoder.hours: must be < 24"):
        DateEncoder(hours=24.0)
    with pytest.raises(NeurosimInputError, match="needs a finite number"):
        DateEncoder().encode("noon")


def test_near_points_share_bits_and_distant_ones_hardly_any() -> None:
    encoder = CoordinateEncoder(resolution=0.5, radius=7, size=1000, active=25, seed=3)
    here = encoder.encode((12.0, -40.0))
    shared = [here.overlap(encoder.encode((12.0 + 0.5 * k, -40.0))) for k in (0, 1, 3, 6, 40)]
    assert len(here) == 25 and shared[0] == 25
    assert shared[1] > shared[3] and shared[2] > 8 and shared[4] <= 4
    with pytest.raises(NeurosimInputError, match="needs 2 finite numbers"):
        encoder.encode((1.0, math.nan))


def plain_scores(
    anomalies: np.ndarray, values: np.ndarray, learning: int, estimation: int, history: int
) -> list[float]:
    """The definition of the likelihood, with lists."""
    means = [float(np.mean(anomalies[max(0, k - 9) : k + 1])) for k in range(len(anomalies))]
    scores = []
    before = 1.0
    mean = deviation = math.nan
    for k in range(len(means)):
        tail = 0.5
        if k >= learning + estimation:
            if k == learning + estimation or k % 100 == 0:
                first = max(k - history, min(k, learning))
                mean = max(float(np.mean(means[first:k])), 0.03)
                deviation = math.sqrt(max(float(np.var(means[first:k])), 0.0003))
                if np.var(values[first:k]) < 1.5e-5:
                    mean, deviation = 0.5, 1e3
            exact = 0.5 * math.erfc((means[k] - mean) / deviation / math.sqrt(2))
            tail = 1e-3 if exact <= 1e-5 and before <= 1e-5 else exact
            before = exact
        scores.append(-math.log10(tail + 1e-10) / 10)
    return scores


@pytest.mark.parametrize("history", [8640, 150])
def test_the_likelihood_is_its_definition(history: int) -> None:
    random = np.random.default_rng(1)
    anomalies = random.uniform(0.0, 0.3, 620)
    anomalies[450:470] = 1.0
    values = random.normal(size=620)
    values[:260] = 5.0
    likelihood = AnomalyLikelihood(60, 40, history=history)
    scores = [likelihood.step(a, v) for a, v in zip(anomalies, values, strict=True)]
    assert scores == pytest.approx(plain_scores(anomalies, values, 60, 40, history), abs=1e-9)
    assert max(scores[:450]) < 0.5 < max(scores[450:470])


def test_a_likelihood_goes_on_where_it_was_saved() -> None:
    random = np.random.default_rng(2)
    anomalies = random.uniform(0.0, 0.4, 500)
    one = AnomalyLikelihood(30, 20, history=100)
    for anomaly in anomalies[:333]:
        one.step(anomaly)
    other = AnomalyLikelihood(30, 20, history=100)
    other.restore(one.state())
    assert [one.step(a) for a in anomalies[333:]] == [other.step(a) for a in anomalies[333:]]
    with pytest.raises(NeurosimInputError, match="history"):
        AnomalyLikelihood(30, 20, history=99).restore(one.state())


def test_jumps_surprise_by_how_few_earlier_ones_are_as_large() -> None:
    values = np.random.default_rng(3).integers(0, 6, 120).astype(float)
    own = JumpSurprise(history=25)
    jumps: list[float] = []
    for k, value in enumerate(values):
        if k == 60:
            other = JumpSurprise(history=25)
            other.restore(own.state())
            own = other
        surprise = own.step(value)
        if k < 2:
            assert surprise == 0.0
        if k > 0:
            jump = abs(value - values[k - 1])
            earlier = np.array(jumps[-25:])
            if k > 1:
                larger = ((earlier > jump).sum() + (earlier == jump).sum() / 2) / earlier.size
                tail = max(larger, 1 / (earlier.size + 1))
                assert surprise == pytest.approx(-math.log10(tail) / 3)
            jumps.append(float(jump))
    assert own.step(math.nan) == 0.0 == own.step(3.0)
    # The largest of a thousand, by far.
    many = JumpSurprise()
    steady = [many.step(float(k % 2)) for k in range(1000)]
    assert max(steady) < 0.2 and many.step(50.0) == 1.0


def test_a_classifier_learns_which_value_follows() -> None:
    codes = [SDR.random(500, 20, seed=1, index=k) for k in range(10)]
    values = [float(k * k) for k in range(10)]
    classifier = SDRClassifier(500, 0.0, 81.0, buckets=81)
    assert classifier.probabilities(codes[0]) == pytest.approx(np.full(81, 1 / 81))
    for _ in range(30):
        for code, value in zip(codes, values, strict=True):
            classifier.learn(code, value)
    assert [classifier.predict(code) for code in codes] == pytest.approx(values, abs=0.5)
    assert classifier.probabilities(codes[3]).sum() == pytest.approx(1.0)
    other = SDRClassifier(500, 0.0, 81.0, buckets=81)
    other.restore(classifier.state())
    assert [other.predict(code) for code in codes] == [classifier.predict(code) for code in codes]
    with pytest.raises(NeurosimInputError, match="needs an SDR of 500 bits"):
        classifier.predict(SDR.random(400, 20, seed=1))


def small(**settings: object) -> AnomalyDetector:
    encoders = {"time": DateEncoder(), "value": number_encoder(-1.0, 1.0)}
    options = {"columns": 1024, "cells_per_column": 8, "probation": 600, **settings}
    return AnomalyDetector(encoders, "value", (-1.0, 1.0), **options)


def records(count: int) -> list[dict[str, object]]:
    """A sine of 24 hours; from record 700 on it is noise for ten hours."""
    values = np.round(np.sin(2 * np.pi * np.arange(count) / 24), 2)
    values[700:710] = np.random.default_rng(5).uniform(-1.0, 1.0, 10).round(2)[: max(count - 700, 0)]
    return [{"time": k * HOUR, "value": float(value)} for k, value in enumerate(values)]


def test_a_detector_is_surprised_by_what_is_new_and_predicts_what_is_not() -> None:
    detector = small()
    series = records(720)
    answers = [detector.step(record) for record in series]
    before = answers[600:700]
    assert np.mean([each.anomaly for each in before]) < 0.15
    assert not any(each.alarm for each in before) and any(each.alarm for each in answers[700:710])
    errors = [abs(each.expected - float(record["value"])) for each, record in zip(before, series[600:700], strict=True)]
    steps = np.abs(np.diff(np.sin(2 * np.pi * np.arange(25) / 24)))
    assert np.mean(errors) < 0.3 * steps.mean()


def test_a_detector_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    detector = small()
    series = records(460)
    for record in series[:390]:
        detector.step(record)
    detector.save(tmp_path / "detector.safetensors")
    other = AnomalyDetector.load(tmp_path / "detector.safetensors")
    assert other.records == 390 and other.expected == detector.expected
    assert [detector.step(record) for record in series[390:]] == [other.step(record) for record in series[390:]]
    stored = tmp_path / "detector.safetensors"
    stored.write_bytes(stored.read_bytes()[:-8])
    with pytest.raises(NeurosimFormatError, match="not a complete neurosim AnomalyDetector file"):
        AnomalyDetector.load(stored)


def test_a_new_detector_is_saved(tmp_path: Path) -> None:
    encoders = {"kind": CategoryEncoder(("a", "b"), 21), "place": CoordinateEncoder(1.0, 5, 400, 21)}
    detector = AnomalyDetector(encoders, columns=64, cells_per_column=4)
    detector.save(tmp_path / "new.safetensors")
    other = AnomalyDetector.load(tmp_path / "new.safetensors")
    assert dict(other.encoders) == encoders
    record = {"kind": "a", "place": (1.0, 2.0)}
    assert [detector.step(record)[:3] for _ in range(5)] == [other.step(record)[:3] for _ in range(5)]


def test_missing_values_leave_their_bits_off_and_wrong_ones_are_refused() -> None:
    detector = small()
    detector.step({"time": 0.0, "value": 0.5})
    answer = detector.step({"time": HOUR, "value": math.nan})
    assert detector.records == 2 and not answer.alarm
    with pytest.raises(NeurosimInputError, match="value of the record: unknown name 'vale'"):
        detector.step({"time": 0.0, "vale": 0.5})
    with pytest.raises(NeurosimInputError, match="needs a finite number"):
        detector.step({"time": 0.0, "value": "high"})
    assert detector.records == 2
    with pytest.raises(NeurosimInputError, match=r"AnomalyDetector\.watched: must be one of time, value"):
        AnomalyDetector(detector.encoders, "price")


def test_a_value_outside_of_the_range_so_far_scores_one() -> None:
    detector = small(probation=10)
    scores = [detector.step({"time": k * HOUR, "value": 0.1 * (k % 5)}).score for k in range(40)]
    assert max(scores[11:]) < 1.0
    assert detector.step({"time": 40 * HOUR, "value": 0.41}).score < 1.0
    answer = detector.step({"time": 41 * HOUR, "value": 0.45})
    assert answer.score == 1.0 and answer.alarm


def test_a_series_of_one_value_alarms_at_the_first_other_one() -> None:
    detector = small(probation=20)
    answers = [detector.step({"value": 0.5 if k in (60, 61) else 0.4}) for k in range(90)]
    assert [k for k, each in enumerate(answers) if each.alarm] == [60]


def test_scores_do_not_depend_on_the_unit_of_the_values() -> None:
    values = np.random.default_rng(0).normal(size=120)
    scores = []
    for unit in (1.0, 2.0**-30):
        span = -4 * unit, 4 * unit
        detector = AnomalyDetector({"v": number_encoder(*span)}, "v", span, probation=40, predict=False, columns=256)
        scores.append([detector.step({"v": value * unit})[:2] for value in values])
    # Jumps alone would score: the memory sees the values, too.
    assert len({anomaly for anomaly, _ in scores[1]}) > 5
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-9)


def test_an_event_is_one_alarm() -> None:
    values = (
        [0.1 * (k % 5) for k in range(60)] + [2.0 + k for k in range(5)] + [0.1 * (k % 5) for k in range(60)] + [50.0]
    )
    series = [{"time": k * HOUR, "value": value} for k, value in enumerate(values)]
    once = small(probation=10, pause=30)
    always = small(probation=10, pause=0)
    alarms = [k for k, record in enumerate(series) if once.step(record).alarm]
    # Each value is higher than any before: without a pause, each of them is an alarm.
    assert alarms == [60, 125]
    assert [k for k, record in enumerate(series) if always.step(record).alarm][:5] == [60, 61, 62, 63, 64]
