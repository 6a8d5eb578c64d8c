"""Small runs in TOML: a continual one, and one of a network."""

from __future__ import annotations

from typing import Any

SMALL = """
[stream]
kind = "permuted"
tasks = 3
train_limit = 60
validation_limit = 20
test_limit = 40

[common]
hidden = [30]
epochs = 2
steps = 3

[learners.plain]
[learners.replay]
memory = 30
[learners.macrocolumn]
columns = 12
field = 16
units = 64
"""


def matrices(result: dict[str, Any]) -> dict[str, Any]:
    """Return the accuracy matrices of a continual run, by learner."""
    return {row["name"]: row["matrices"] for row in result["rows"]}


def network(duration: float, rate: float = 200.0) -> str:
    """Return five Poisson sources of `rate` Hz onto four neurons, `duration` seconds."""
    return f"""
[simulation]
duration = {duration}

[[population]]
name = "in"
shape = 5
model = "PoissonSource"
rate = {rate}

[[population]]
name = "E"
shape = 4
model = "LIF"

[[projection]]
source = "in"
target = "E"
pattern = "AllToAll"
weight = 0.5
"""
