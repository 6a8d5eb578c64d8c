"""Networks as TOML: a network and its settings, in a file that `neurosim simulate --config` runs.

model = description.load("net.toml")       # a Description: network, settings, probes, inputs
result = model.simulate(threads=2)
description.save("copy.toml", model)       # and back; `dump` for the text alone
"""

from .description import Description as Description
from .description import Settings as Settings
from .description import SpikeFile as SpikeFile
from .dump import dump as dump
from .dump import save as save
from .dump import tree as tree
from .parse import is_network as is_network
from .parse import load as load
from .parse import parse as parse

__all__ = ["Description", "Settings", "SpikeFile", "dump", "is_network", "load", "parse", "save", "tree"]
