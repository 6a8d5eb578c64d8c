"""Networks as TOML: a network and its settings, in a file that `neurosim simulate --config` runs.

model = description.read_description("net.toml")       # a Description: network, settings, probes, inputs
result = model.simulate(threads=2)
description.write_description("copy.toml", model)       # and back; `dump_description` for the text alone
"""
