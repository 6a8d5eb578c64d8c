"""Commands of every kind of run that can continue, to be killed, at writes and moments."""

from __future__ import annotations

from pathlib import Path

from .killed import Kills


def sets(*pairs: str) -> tuple[str, ...]:
    return tuple(word for pair in pairs for word in ("--set", pair))


def series() -> None:
    """Write a table for the anomaly detector, which is saved after every tenth of a second."""
    from neurosim.app.runs.memory.anomaly import run

    moments = ((day, hour) for day in range(1, 29) for hour in range(24))
    lines = [f"2026-01-{day:02d} {hour:02d}:00,{(7 * hour) % 24 + day}" for day, hour in moments]
    Path("series.csv").write_text("\n".join(["time,value", *lines]) + "\n")
    run.SAVE_EVERY = 0.1


EPISODES = sets("episodes.count=200", "episodes.shots=[1, 3]", "code.size=1024", "column.units=32", "column.modules=16")
SEQUENCE = sets("stream.recordings=6", "stream.passes=8", "pooler.columns=256", "data.limit=10", "pooler.density=0.04")
RECOGNISE = ("--items", "120", "--limit", "40")
TRAIN = (
    *("--train-limit", "100", "--limit", "30", "--epochs", "5"),
    *sets("bins.dt=0.02", "bins.pool=2", "network.hidden=[48]", "network.filters=[]", "training.batch=32"),
)
ATTENTION = (
    *("--kinds", "deltanet,gla", "--seeds", "2", "--steps", "60"),
    *sets("task.options.trained=[2, 8]", "task.options.sizes=[8]", "model.width=16", "training.tokens=64"),
)
ANOMALY = sets("detector.columns=128", "detector.cells_per_column=4", "detector.predict=false")
SERIES = ("--values", "400", "--neurons", "60", "--no-memory")
SIMULATE = ("--limit", "30", *sets("data.train_limit=60", "liquid.neurons=60"))
KINDS = {
    "simulate": Kills(("simulate", "digits", *SIMULATE), ("simulate",), 6, (2, 60), (0.05, 1.5)),
    "episodes": Kills(("memory", "episodes", "digits", *EPISODES), ("memory", "episodes"), 6, (2, 60), (0.05, 1.5)),
    "sequence": Kills(("memory", "sequence", "digits", *SEQUENCE), ("memory", "sequence"), 6, (2, 60), (0.05, 1.5)),
    "anomaly": Kills(
        ("memory", "anomaly", "series.csv", *ANOMALY),
        ("memory", "anomaly"),
        6,
        (2, 300),
        (0.05, 1.0),
        threads=(),
        prepare="helpers.kills:series",
    ),
    "series": Kills(("series", "narma10", *SERIES), ("series",), 6, (2, 40), (0.05, 1.0)),
    "recognise": Kills(("memory", "recognise", "digits", *RECOGNISE), ("memory", "recognise"), 6, (2, 60), (0.05, 1.5)),
    "train": Kills(("train", "digits", *TRAIN), ("train",), 6, (2, 60), (0.05, 1.5), threads=(1,)),
    "attention": Kills(("attention", "parity", *ATTENTION), ("attention",), 6, (2, 60), (0.05, 1.5), threads=(1,)),
    "continual": Kills(
        ("continual", "run", "stream.toml", "--workers", "1"), ("continual", "run"), 6, (2, 90), (0.05, 1.5), (1,)
    ),
}
