from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.data import read_state, write_state
from neurosim.kernels.io.traces import cpu as traces
from neurosim.kernels.io.traces.reference import sampled_traces_reference, window_counts_reference
from neurosim.learning import Liquid, Readout, TrainedReadout, features
from neurosim.learning.liquid.classifiers import CLASSIFIERS
from neurosim.learning.liquid.draws import gamma, uniform
from neurosim.learning.liquid.quality import measure_quality

SHAPE = (2, 10, 12)
SMALL = Liquid(SHAPE, neurons=60, patch_synapses=16, patch_radius=0.08, in_degree=8)


def recordings(count: int, seed: int = 0) -> Recordings:
    """Two classes of one bar each, moving left or right past the sensor: the same places, in another order."""
    made = []
    labels = np.arange(count) % 2
    for i, label in enumerate(labels):
        draws = np.random.default_rng([seed, i])
        times = np.sort(draws.random(600)) * 0.2
        x = np.clip(times / 0.2 * 12 + draws.normal(size=600), 0, 11.99).astype(int)
        x = x if label == 0 else 11 - x
        units = np.ravel_multi_index((draws.integers(0, 2, 600), draws.integers(0, 10, 600), x), SHAPE)
        made.append(Spikes(times, units, 240, 0.2, SHAPE))
    return Recordings.collect(made, labels, ("right", "left"))


@pytest.fixture(scope="module")
def liquid() -> Liquid:
    return SMALL.adapt(recordings(8, seed=5))


@pytest.fixture(scope="module")
def spikes(liquid: Liquid) -> Recordings:
    return batch(liquid, recordings(60))


def batch(liquid: Liquid, played: Recordings, **options) -> Recordings:
    result = liquid.run(played, **options).spikes["liquid"]
    assert isinstance(result, Recordings)
    return result


def ragged(seed: int = 0) -> tuple:
    draws = np.random.default_rng(seed)
    offsets = np.array([0, 50, 50, 131])
    times = np.concatenate([np.sort(draws.random(n)) for n in np.diff(offsets)])
    edges = np.sort(draws.random((3, 6)), axis=1)
    return times, draws.integers(0, 7, 131).astype(np.int32), offsets, edges


def test_windows_hold_what_the_reference_says_and_lose_nothing():
    times, units, offsets, edges = ragged()
    fast = np.full((3, 5, 7), np.nan, np.float32)
    traces.window_counts(times, units, offsets, edges, fast)
    assert np.array_equal(fast, window_counts_reference(times, units, offsets, edges, 7))
    assert fast.sum(axis=(1, 2)).tolist() == np.diff(offsets).tolist()


def test_traces_are_sums_of_exponentials():
    times, units, offsets, edges = ragged()
    fast = np.full((3, 6, 7), np.nan, np.float32)
    traces.sampled_traces(times, units, offsets, edges, 0.13, fast)
    np.testing.assert_allclose(fast, sampled_traces_reference(times, units, offsets, edges, 0.13, 7), rtol=2e-6)
    one = np.empty((1, 2, 1), np.float32)
    traces.sampled_traces(
        np.array([0.1, 0.2]), np.zeros(2, np.int32), np.array([0, 2]), np.array([[0.05, 0.3]]), 0.1, one
    )
    np.testing.assert_allclose(one[0, :, 0], [0, np.exp(-1) + np.exp(-2)], rtol=1e-6)


def test_the_network_is_what_the_parameters_say(liquid: Liquid):
    projections = {p.name: p for p in liquid.network().projections}
    recurrent = projections["liquid->liquid"]
    sensor = projections["input->liquid"]
    assert np.bincount(recurrent.pattern.post, minlength=60).tolist() == [8] * 60
    assert not np.any(recurrent.pattern.pre == recurrent.pattern.post)
    pairs = set(zip(recurrent.pattern.pre.tolist(), recurrent.pattern.post.tolist(), strict=True))
    assert len(pairs) == 60 * 8
    inhibits = set(recurrent.pattern.pre[recurrent.weight < 0])
    assert inhibits and not inhibits & set(recurrent.pattern.pre[recurrent.weight > 0])  # Dale's principle
    for projection, longest in ((recurrent, 10), (sensor, 80)):
        steps = np.round(projection.delay / 1e-3)
        assert steps.min() >= 1 and longest * 0.9 < steps.max() <= longest
    assert np.bincount(sensor.pattern.post, minlength=60).max() <= 12 * 16


def test_patches_are_local_balanced_and_each_has_one_weight_and_delay():
    wide = Liquid((40, 40), neurons=40, patches=2, patch_synapses=40, patch_radius=0.05)
    sensor = {p.name: p for p in wide.network().projections}["input->liquid"]
    _, x = np.unravel_index(sensor.pattern.pre, (40, 40))
    patches = {}
    for i in range(40):
        mine = sensor.pattern.post == i
        assert len(np.unique(sensor.weight[mine])) == 2 and sorted(np.sign(np.unique(sensor.weight[mine]))) == [-1, 1]
        for weight in np.unique(sensor.weight[mine]):
            patches[i, weight] = x[mine & (sensor.weight == weight)].std()
            assert len(np.unique(sensor.delay[mine & (sensor.weight == weight)])) == 1
    assert np.mean(list(patches.values())) == pytest.approx(0.05 * 40, rel=0.2)


def test_recurrent_synapses_are_local_and_weights_are_gamma():
    near, far = (
        Liquid((40, 40), neurons=400, radius=radius)._recurrent for radius in (0.05, 5.0)
    )  # the same places, drawn by seed
    places = uniform(0, "places", 400, 2)

    def distance(wires) -> float:
        return float(np.linalg.norm(places[wires.pre] - places[wires.post], axis=1).mean())

    assert distance(near) < 0.15 and 0.45 < distance(far) < 0.6  # two random points of a square: 0.521
    drawn = gamma(0, "test", 20_000)
    assert drawn.mean() == pytest.approx(1, rel=0.02) and drawn.var() == pytest.approx(1 / 4, rel=0.05)


def test_adapting_brings_rates_near_the_target(liquid: Liquid):
    played = recordings(8, seed=5)
    told = []
    again = SMALL.adapt(played, progress=told.append)
    assert np.array_equal(again.gains, liquid.gains)
    assert [t.done for t in told] == sorted(t.done for t in told)
    assert told[-1].done == pytest.approx(told[-1].total)
    rates = np.bincount(batch(liquid, played).units, minlength=60) / played.durations.sum()
    assert np.median(rates) == pytest.approx(30, rel=0.35)
    assert not len(batch(replace(SMALL, gains=np.full(60, 0.01)), played).units)


def test_the_same_seed_gives_the_same_spikes_whatever_the_threads_and_batch(liquid: Liquid):
    played = recordings(7)
    whole = batch(liquid, played, threads=1)
    assert batch(liquid, played, threads=4).digest() == whole.digest()
    assert [batch(liquid, played.select([i]))[0].digest() for i in range(7)] == [s.digest() for s in whole]
    assert batch(replace(liquid, seed=1), played).digest() != whole.digest()


def test_statistics_are_what_they_say(liquid: Liquid, spikes: Recordings):
    played = recordings(60)
    found = measure_quality(liquid, played, spikes)
    counts = spikes.counts().sum(axis=0)
    assert found.mean_rate == pytest.approx(counts.mean() / (60 * 0.2))
    assert found.silent == np.mean(counts == 0)
    assert found.gain == pytest.approx(counts.sum() / (60 * 600))
    weak, strong = (replace(SMALL, weight=w).spectral_radius() for w in (1.0, 2.0))
    assert found.spectral_radius == weak and strong == pytest.approx(2 * weak)


def test_features_have_the_shape_and_scale_they_say(spikes: Recordings):
    counts = features(spikes, "counts", windows=4, timing="time")
    assert counts.shape == (60, 4 * 60)
    np.testing.assert_allclose((counts**2).sum(axis=1), np.diff(spikes.offsets), rtol=1e-5)
    both = features(spikes, "counts", windows=4)
    assert np.array_equal(both[:, :240], counts)
    shares = (both[:, 240:].reshape(60, 4, 60) ** 2).sum(axis=2) / np.diff(spikes.offsets)[:, None]
    np.testing.assert_allclose(shares, 0.25, atol=0.06)  # spikes of one step stay together


def test_windows_by_time_follow_the_activity():
    """The same burst later, or slower, is described alike."""
    burst = np.arange(100) / 100
    units = np.repeat(np.arange(4), 25)
    moved = [Spikes(at + burst * width, units, 4, 1.0) for at, width in ((0.1, 0.2), (0.5, 0.2), (0.2, 0.4))]
    for timing in ("time", "spikes"):
        x = features(Recordings.collect(moved), windows=4, timing=timing)
        assert np.array_equal(x[0], x[1]) and np.array_equal(x[0], x[2])


def test_silence_is_described_too():
    silent = Recordings.collect([Spikes([], [], 5, 0.3), Spikes([0.1], [2], 5, 0.3)])
    assert not features(silent, "traces")[0].any() and features(silent, "traces")[1].any()
    assert not features(Recordings.collect([Spikes([], [], 5, 0.3)])).any()


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("kind_of_features", ["counts", "traces"])
def test_order_in_time_is_learned_and_shuffled_labels_are_not(spikes, liquid, kind, kind_of_features):
    labels = np.arange(60) % 2
    readout = Readout(kind, kind_of_features)
    test = batch(liquid, recordings(40, seed=9))
    assert (readout.fit(spikes, labels).predict(test) == np.arange(40) % 2).mean() > 0.95
    shuffled = np.random.default_rng(0).permutation(labels)
    assert (readout.fit(spikes, shuffled).predict(test) == np.arange(40) % 2).mean() < 0.8


def points(n: int, width: int, classes: int) -> tuple:
    draws = np.random.default_rng(1)
    z = draws.normal(size=(n, width))
    return z - z.mean(axis=0), draws.integers(0, classes, n)


@pytest.mark.parametrize("classes", [2, 3])
def test_classifiers_find_what_scikit_learn_finds(classes):
    from sklearn.linear_model import LogisticRegression, Ridge

    z, y = points(40, 70, classes)
    goal = np.where(y[:, None] == np.arange(classes), 1.0, -1.0)
    alpha, bias, _ = CLASSIFIERS["ridge"](z @ z.T, y, 3.0, hidden=1, seed=0)
    theirs = Ridge(alpha=3.0).fit(z, goal)
    np.testing.assert_allclose(z.T @ alpha, theirs.coef_.T, atol=1e-10)
    np.testing.assert_allclose(bias, theirs.intercept_, atol=1e-10)
    alpha, bias, _ = CLASSIFIERS["logistic"](z @ z.T, y, 3.0, hidden=1, seed=0)
    theirs = LogisticRegression(C=1 / 3.0, tol=1e-8, max_iter=5000).fit(z, y)
    expected = theirs.predict_proba(z)
    scores = z @ (z.T @ alpha) + bias
    ours = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, expected, atol=2e-3)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_predictions_are_the_labels_given(spikes, kind):
    trained = Readout(kind).fit(spikes, np.arange(60) % 2 + 5)
    assert trained.labels.tolist() == [5, 6]
    assert np.array_equal(trained.predict(spikes), np.arange(60) % 2 + 5)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_weights_and_scores_do_not_depend_on_threads_or_batch(spikes, kind):
    labels = np.arange(60) % 2
    with threadpool_limits(1):
        one = Readout(kind).fit(spikes, labels)
    with threadpool_limits(4):
        four = Readout(kind).fit(spikes, labels)
        alone = np.concatenate([four.scores(spikes.select([i])) for i in range(60)])
    assert np.array_equal(one.weights, four.weights)
    assert np.array_equal(one.scores(spikes), alone)


def test_a_readout_saved_and_loaded_says_the_same(spikes, tmp_path):
    trained = Readout().fit(spikes, np.arange(60) % 2)
    trained.save(tmp_path / "readout.safetensors")
    again = TrainedReadout.load(tmp_path / "readout.safetensors")
    assert again.readout == trained.readout
    assert np.array_equal(again.scores(spikes), trained.scores(spikes))


def test_reading_is_counted_as_work(spikes):
    trained = Readout(windows=3, timing="time").fit(spikes, np.arange(60) % 2)
    (layer,) = trained.work(spikes)
    assert (layer.inputs, layer.outputs, layer.steps) == (180, 2, 60)
    assert layer.dense_operations == 180 * 2 * 60 and layer.binary_input is False
    assert layer.input_events == np.count_nonzero(features(spikes, windows=3, timing="time"))
    assert layer.synaptic_operations == 2 * layer.input_events < layer.dense_operations
    hidden, last = Readout("ann", windows=3, timing="time", hidden=7).fit(spikes, np.arange(60) % 2).work(spikes)
    assert (hidden.inputs, hidden.outputs, last.inputs, last.outputs) == (180, 7, 7, 2)
    assert hidden.synaptic_operations == 7 * layer.input_events
    assert hidden.output_events == last.input_events < 7 * 60  # rectified: some are silent


def test_an_ann_is_what_scikit_learn_trained(spikes):
    """On the principal coordinates, unfolded onto the features as they are."""
    from sklearn.neural_network import MLPClassifier

    labels = np.arange(60) % 3
    readout = Readout("ann", windows=2, timing="time", hidden=9, seed=5)
    seen = {}
    fit = MLPClassifier.fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            MLPClassifier, "fit", lambda self, x, y: fit(seen.setdefault("model", self), seen.setdefault("x", x), y)
        )
        trained = readout.fit(spikes, labels)
    ours = trained.scores(spikes)
    theirs = seen["model"].predict_proba(seen["x"])
    ours = np.exp(ours - ours.max(axis=1, keepdims=True))
    np.testing.assert_allclose(ours / ours.sum(axis=1, keepdims=True), theirs, atol=2e-3)
    assert np.mean((seen["x"] ** 2).sum(axis=1)) == pytest.approx(64, rel=0.01)
    assert not np.array_equal(
        readout.fit(spikes, labels).weights,
        Readout("ann", windows=2, timing="time", hidden=9).fit(spikes, labels).weights,
    )


def test_several_cuts_are_each_cut_side_by_side(spikes):
    both = features(spikes, windows=(2, 5))
    width = 60 * 7
    for k, timing in enumerate(("time", "spikes")):
        apart = [features(spikes, windows=w, timing=timing) for w in (2, 5)]
        assert np.array_equal(both[:, k * width : (k + 1) * width], np.concatenate(apart, axis=1))
    assert Readout(windows=[2, 5]).windows == (2, 5)  # as a file gives them
    with pytest.raises(NeurosimInputError, match=r"Readout\.windows: must be >= 1"):
        Readout(windows=(3, 0))


def test_broken_files_are_refused(spikes, tmp_path):
    path = tmp_path / "readout.safetensors"
    Readout(windows=8).fit(spikes, np.arange(60) % 2).save(path)
    whole = path.read_bytes()
    for bad in (b"", whole[:100], whole[:-5], b"\xff" * 64):
        path.write_bytes(bad)
        with pytest.raises(
            NeurosimFormatError, match=r"readout\.safetensors: is not a complete neurosim TrainedReadout"
        ):
            TrainedReadout.load(path)
    path.write_bytes(whole)
    settings, arrays = read_state(path, "TrainedReadout", 1)
    for key, value, message in (
        ("windows", 7, r"must be \[2, a multiple of 14\]"),
        ("kind", "fudge", "must be 'ridge', 'logistic' or 'ann'"),
    ):
        readout = {**settings["readout"], key: value}
        write_state(path, "TrainedReadout", 1, {"readout": readout}, arrays)
        with pytest.raises(NeurosimFormatError, match=message):
            TrainedReadout.load(path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Liquid((0, 3)), "Liquid.shape: must be integers > 0 (got (0, 3))"),
        (lambda: Liquid(SHAPE, neurons=0), "Liquid.neurons: must be >= 1 (got 0)"),
        (lambda: Liquid(SHAPE, neurons=50.5), "Liquid.neurons: must be an integer (got 50.5)"),
        (lambda: Liquid(SHAPE, neurons=20), "Liquid.in_degree: must be < neurons 20 (got 30)"),
        (lambda: Liquid(SHAPE, inhibitory=1.5), "Liquid.inhibitory: must be in 0..1 (got 1.5)"),
        (lambda: Liquid(SHAPE, rate=0.0), "Liquid.rate: must be > 0 (got 0.0)"),
        (lambda: Liquid(SHAPE, tau_mem=-1.0), "CubaLIF.tau_mem: must be > 0 s (got -1.0)"),
        (lambda: Liquid(SHAPE, max_delay=1e-4), "Liquid.max_delay: must be >= clock 0.001 s (got 0.0001)"),
        (lambda: Liquid(SHAPE, max_input_delay=0), "Liquid.max_input_delay: must be >= clock 0.001 s (got 0)"),
        (lambda: Liquid(SHAPE, gains=np.ones(3)), "Liquid.gains: must hold 1000 (got (3,))"),
        (lambda: SMALL.run(Recordings.collect([Spikes([], [], 3, 1.0)])), "Liquid.run: needs recordings of shape"),
        (lambda: Readout(windows=0), "Readout.windows: must be >= 1 (got 0)"),
        (lambda: Readout(tau=0.0), "Readout.tau: must be > 0 s (got 0.0)"),
        (lambda: Readout(penalty=-1.0), "Readout.penalty: must be > 0 (got -1.0)"),
        (lambda: Readout("rigde"), "Readout.kind: unknown name 'rigde'; did you mean 'ridge'?"),
        (lambda: Readout(timing="tiem"), "Readout.timing: unknown name 'tiem'; did you mean 'time'?"),
        (lambda: Readout().fit(Recordings.collect([Spikes([], [], 3, 1.0)] * 2), [1, 1]), "Readout.fit: needs record"),
        (lambda: Readout().fit(Recordings.collect([Spikes([], [], 3, 1.0)]), [1, 2]), "Readout.fit: needs 1 labels"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(NeurosimInputError) as error:
        call()
    assert str(error.value).startswith(message)


def test_a_readout_refuses_a_liquid_of_another_size(spikes):
    trained = Readout().fit(spikes, np.arange(60) % 2)
    with pytest.raises(NeurosimInputError, match=r"needs spikes of 60 neurons \(got 3\)"):
        trained.predict(Recordings.collect([Spikes([], [], 3, 1.0)]))


@pytest.mark.parametrize("unit", [-1, 5, 2**31 - 1])
def test_units_beyond_the_liquid_are_refused_before_anything_is_written(unit):
    batch = Recordings(np.array([0.1]), np.array([unit]), np.array([0, 1]), np.array([1.0]), 5)
    with pytest.raises(NeurosimInputError, match=rf"features.spikes: must have units in 0..4 \(got {unit}\)"):
        features(batch)
