"""Event-camera digits through a liquid state machine and a linear readout; what that cost in operations and energy."""

from neurosim.data import catalog
from neurosim.engine import energy, measure
from neurosim.learning import Liquid, Readout

train = catalog.load("digits", "train").select(range(0, 1497, 5))
test = catalog.load("digits", "test").select(range(0, 300, 5))

liquid = Liquid(train.shape, neurons=400).adapt(train.select(range(0, len(train), 10)))
learned = liquid.run(train).spikes["liquid"]
readout = Readout().fit(learned, train.labels)

result = liquid.run(test, count_updates=True)
spikes = result.spikes["liquid"]
print(f"accuracy {(readout.predict(spikes) == test.labels).mean():.3f} on {len(test)} recordings, {len(train)} learned")
print(f"real-time factor {result.real_time_factor:.4f}, digest {spikes.digest()[:16]}")

work = [*result.work, *readout.work(spikes)]
measures = measure(work, len(test), result.duration, len(test.ticks))
estimate = energy(work, len(test))
print(f"activation sparsity {measures.activation_sparsity:.3f}")
for kind, joules in (("with memory", estimate.memory_aware), ("dense, with memory", estimate.dense_memory_aware)):
    print(f"{kind}: {joules.low:.2e} to {joules.high:.2e} J a recording (estimate)")
