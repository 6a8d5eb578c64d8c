"""A dataset, a neuron, a learner and a stream for neurosim."""
