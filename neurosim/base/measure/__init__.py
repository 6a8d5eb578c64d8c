"""Sparsity, synaptic operations and energy estimates, computed for every paradigm from the same counts of layers.

    from neurosim.base.measure.estimates import energy
    from neurosim.base.measure.measures import measure

    layers = result.work                            # counts of the engine; of other models model.work(inputs)
    measures = measure(layers, samples=100, duration=30.0, events_in=420_000)
    estimate = energy(layers, samples=100, profile="horowitz45")

`work` has the counts of a layer, which models return and `activity` makes of recorded activity; `measures` has the
definitions, `traffic` the bits that are moved. `profiles` reads the energy profiles of `estimates`, and `meter` reads
what the machine itself measures.
"""
