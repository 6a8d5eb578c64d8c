from dataclasses import replace

import numpy as np
import pytest

from neurosim.errors import NeurosimFormatError, NeurosimInputError
from neurosim.kernels import traces
from neurosim.liquid import Liquid, Readout, features
from neurosim.liquid.readout import TrainedReadout
from neurosim.spikes import Recordings, Spikes

SHAPE = (2, 10, 12)
SMALL = Liquid(SHAPE, neurons=60, patch_synapses=16, patch_radius=0.08, radius=0.3, in_degree=8)


def recordings(count: int, seed: int = 0) -> Recordings:
    """Two classes of one bar each, moving left or right past the sensor: the same places, in another order."""
    made, labels = [], np.arange(count) % 2
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


# --- kernels


def ragged(seed: int = 0) -> tuple:
    draws = np.random.default_rng(seed)
    offsets = np.array([0, 50, 50, 131])
    times = np.concatenate([np.sort(draws.random(n)) for n in np.diff(offsets)])
    edges = np.sort(draws.random((3, 6)), axis=1)
    return times, draws.integers(0, 7, 131).astype(np.int32), offsets, edges


def test_windows_hold_what_the_reference_says_and_lose_nothing():
    times, units, offsets, edges = ragged()
    fast = traces.window_counts(times, units, offsets, edges, 7)
    assert np.array_equal(fast, traces.window_counts_reference(times, units, offsets, edges, 7))
    assert fast.sum(axis=(1, 2)).tolist() == np.diff(offsets).tolist()


def test_traces_are_sums_of_exponentials():
    times, units, offsets, edges = ragged()
    fast = traces.sampled_traces(times, units, offsets, edges, 0.13, 7)
    np.testing.assert_allclose(fast, traces.sampled_traces_reference(times, units, offsets, edges, 0.13, 7), rtol=2e-6)
    one = traces.sampled_traces(
        np.array([0.1, 0.2]), np.array([0, 0]), np.array([0, 2]), np.array([[0.05, 0.3]]), 0.1, 1
    )
    np.testing.assert_allclose(one[0, :, 0], [0, np.exp(-1) + np.exp(-2)], rtol=1e-6)


# --- the network


def test_the_network_is_what_the_parameters_say(liquid: Liquid):
    projections = {p.name: p for p in liquid.network().projections}
    recurrent = projections["liquid->liquid"]
    assert np.bincount(recurrent.pattern.post, minlength=60).tolist() == [8] * 60
    assert not np.any(recurrent.pattern.pre == recurrent.pattern.post)
    inhibits = recurrent.pattern.pre[recurrent.weight < 0]
    assert not set(inhibits) & set(recurrent.pattern.pre[recurrent.weight > 0])  # Dale's principle
    assert recurrent.delay.min() >= 0.001 and recurrent.delay.max() <= 0.02 + 1e-12
    onto = projections["input->liquid"].pattern.post
    assert np.bincount(onto, minlength=60).max() <= 12 * 16


def test_input_patches_are_local():
    wide = Liquid((40, 40), neurons=40, patches=1, patch_synapses=40, patch_radius=0.05)
    pattern = {p.name: p for p in wide.network().projections}["input->liquid"].pattern
    _, x = np.unravel_index(pattern.pre, (40, 40))
    spread = np.mean([x[pattern.post == i].std() for i in range(40)])
    assert spread == pytest.approx(0.05 * 40, rel=0.2)


def test_adapting_brings_rates_near_the_target(liquid: Liquid):
    played = recordings(8, seed=5)
    seconds = played.durations.sum()

    def typical(of: Liquid) -> float:
        return float(np.median(np.bincount(batch(of, played).units, minlength=60) / seconds))

    assert typical(liquid) == pytest.approx(15, rel=0.35)
    weak = replace(SMALL, gains=np.full(60, 0.01))
    assert typical(weak) == 0


def test_the_same_seed_gives_the_same_spikes_whatever_the_threads_and_batch(liquid: Liquid):
    played = recordings(7)
    whole = batch(liquid, played, threads=1)
    assert batch(liquid, played, threads=4).digest() == whole.digest()
    assert [batch(liquid, played.select([i]))[0].digest() for i in range(7)] == [s.digest() for s in whole]
    assert batch(replace(liquid, seed=1), played).digest() != whole.digest()


def test_spectral_radius_grows_with_the_weight():
    weak, strong = (replace(SMALL, weight=w).spectral_radius() for w in (1.0, 2.0))
    assert strong == pytest.approx(2 * weak)


# --- readouts


@pytest.mark.parametrize("kind", ["ridge", "logistic"])
@pytest.mark.parametrize("kind_of_features", ["counts", "traces"])
def test_order_in_time_is_learned_and_shuffled_labels_are_not(spikes, liquid, kind, kind_of_features):
    labels = np.arange(60) % 2
    readout = Readout(kind, kind_of_features)
    test = batch(liquid, recordings(40, seed=9))
    assert (readout.fit(spikes, labels).predict(test) == np.arange(40) % 2).mean() > 0.95
    shuffled = np.random.default_rng(0).permutation(labels)
    assert (readout.fit(spikes, shuffled).predict(test) == np.arange(40) % 2).mean() < 0.8


def test_features_have_the_shape_and_scale_they_say(spikes):
    counts = features(spikes, "counts", windows=4)
    assert counts.shape == (60, 4 * 60)
    np.testing.assert_allclose((counts**2).sum(axis=1), np.diff(spikes.offsets), rtol=1e-5)


def test_silence_is_described_too():
    silent = Recordings.collect([Spikes([], [], 5, 0.3), Spikes([0.1], [2], 5, 0.3)])
    assert not features(silent, "traces")[0].any() and features(silent, "traces")[1].any()


def test_a_readout_saved_and_loaded_says_the_same(spikes, tmp_path):
    trained = Readout().fit(spikes, np.arange(60) % 2)
    trained.save(tmp_path / "readout.safetensors")
    again = TrainedReadout.load(tmp_path / "readout.safetensors")
    assert again.readout == trained.readout
    assert np.array_equal(again.scores(spikes), trained.scores(spikes))


def test_reading_is_counted_as_work(spikes):
    trained = Readout(windows=3).fit(spikes, np.arange(60) % 2)
    layer = trained.work(spikes)
    assert (layer.inputs, layer.outputs, layer.steps) == (180, 2, 60)
    assert layer.dense_operations == 180 * 2 * 60 and layer.binary_input is False


def test_broken_files_are_refused(spikes, tmp_path):
    path = tmp_path / "readout.safetensors"
    Readout().fit(spikes, np.arange(60) % 2).save(path)
    whole = path.read_bytes()
    for bad in (b"", whole[:100], whole[:-5], b"\xff" * 64):
        path.write_bytes(bad)
        with pytest.raises(NeurosimFormatError, match=r"readout\.safetensors: is no readout that neurosim saved"):
            TrainedReadout.load(path)
    newer = whole.replace(rb"\"readout\": 1", rb"\"readout\": 2")
    assert newer != whole
    path.write_bytes(newer)
    with pytest.raises(NeurosimFormatError, match=r"readout format 1 is known \(got 2\)"):
        TrainedReadout.load(path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Liquid((0, 3)), "Liquid.shape: must be whole numbers > 0 (got (0, 3))"),
        (lambda: Liquid(SHAPE, neurons=0), "Liquid.neurons: must be >= 1 (got 0)"),
        (lambda: Liquid(SHAPE, neurons=20), "Liquid.in_degree: must be < neurons 20 (got 20)"),
        (lambda: Liquid(SHAPE, inhibitory=1.5), "Liquid.inhibitory: must be in 0..1 (got 1.5)"),
        (lambda: Liquid(SHAPE, rate=0.0), "Liquid.rate: must be > 0 (got 0.0)"),
        (lambda: Liquid(SHAPE, tau_mem=-1.0), "CubaLIF.tau_mem: must be > 0 s (got -1.0)"),
        (lambda: Liquid(SHAPE, longest_delay=1e-4), "Liquid.longest_delay: must be >= clock 0.001 s (got 0.0001)"),
        (lambda: SMALL.run(Recordings.collect([Spikes([], [], 3, 1.0)])), "Liquid.run: needs recordings of shape"),
        (lambda: Readout(windows=0), "Readout.windows: must be >= 1 (got 0)"),
        (lambda: Readout("rigde"), "Readout.kind: unknown name 'rigde'; did you mean 'ridge'?"),
        (lambda: Readout().fit(Recordings.collect([Spikes([], [], 3, 1.0)] * 2), [1, 1]), "Readout.fit: needs record"),
        (lambda: Readout().fit(Recordings.collect([Spikes([], [], 3, 1.0)]), [1, 2]), "Readout.fit: needs 1 labels"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(NeurosimInputError) as error:
        call()
    assert str(error.value).startswith(message)
