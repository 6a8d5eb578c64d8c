"""A spiking network trained on event-camera digits, then run event by event: the same spikes, and what they cost."""

import numpy as np
import torch

from neurosim.data import catalog
from neurosim.engine import energy, measure
from neurosim.learning import Augment, Binning, EventNet, NetworkSpec, SpikingNet, Trainer, TrainingSpec, split
from neurosim.learning.training.saved import load, save

torch.set_num_threads(2)
digits = catalog.load("digits", "train").select(range(0, 1497, 3))
test = catalog.load("digits", "test").select(range(0, 300, 3))

# Recordings become tensors [steps, batch, units]: events of 2 x 2 pixels in bins of 15 ms.
binning = Binning(digits.shape, dt=0.015, duration=0.32, pool=2)
learn, stop = split(digits.labels, 0.1, seed=0)

net = SpikingNet(binning.shape, 10, NetworkSpec(hidden=(128,), dropout=0.1), binning.dt, seed=0)
how = TrainingSpec(epochs=12, learning_rate=5e-3, sparsity=0.1), Augment(shift=1.0, drop=0.2)
course = Trainer(net, binning, digits.select(learn), digits.select(stop), *how).run()
best = course.history[course.best - 1]
print(f"epoch {course.best} of {course.epoch} is kept: {best.validation_accuracy:.1%} of {len(stop)} not trained on")

# Rounded a little, weights add up exactly in any order, and the engine finds every spike where the network has it.
net.round_for_exact_sums()
save("digits.safetensors", net, binning, digits.classes)
net, binning, classes = load("digits.safetensors")
event = EventNet.of(net)
played = binning.recordings(test)
result = event.run(played, count_updates=True)

batch = binning.batch(test, np.arange(len(test)))
spikes = net.trace(torch.from_numpy(batch.x), torch.from_numpy(batch.lengths)).spikes[0]
found = event.spikes(result, 0)
same = all(
    np.array_equal(found[k].to_grid(binning.dt), spikes[:n, k].detach().numpy()) for k, n in enumerate(batch.lengths)
)
accuracy = (event.scores(result).argmax(axis=1) == test.labels).mean()
print(f"event by event: {len(found.ticks):,} spikes, all of them the network's: {same}; accuracy {accuracy:.1%}")

measures = measure(list(result.work), len(test), result.duration, len(played.ticks))
estimate = energy(list(result.work), len(test))
operations = measures.synaptic_operations
print(f"{operations.Effective_ACs:,.0f} additions a recording; dense: {operations.Dense:,.0f} multiplications")
for kind, joules in (("with memory", estimate.memory_aware), ("dense, with memory", estimate.dense_memory_aware)):
    print(f"{kind}: {joules.low:.2e} to {joules.high:.2e} J a recording (estimate)")
assert same
