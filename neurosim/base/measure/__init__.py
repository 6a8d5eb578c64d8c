"""Sparsity, synaptic operations and energy estimates, computed for every paradigm from the same counts of layers.

layers = result.work                                # counts of the engine; of other models model.work(inputs)
measures = measure.measure(layers, samples=100, duration=30.0, events_in=420_000)
estimate = measure.energy(layers, samples=100, profile="horowitz45")
"""
