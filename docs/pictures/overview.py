"""Draw overview.svg, the picture of the README: one recording through a liquid, and what the readout makes of it.

python docs/pictures/overview.py [FILE]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurosim import Spikes
from neurosim.app.report.charts import STYLE
from neurosim.app.report.svg import Box, element, label, nice, picture, rect, rule
from neurosim.app.runs.data import even
from neurosim.app.runs.liquid.run import GAIN_RECORDINGS
from neurosim.base.atomic import write_text
from neurosim.data import catalog
from neurosim.engine import measure
from neurosim.learning import Liquid, Readout

WIDTH, HEIGHT = 960.0, 300.0
TOP, FOOT = 58.0, 258.0
RECORDING = 0
PLACES = re.compile(r":root \{(.*?)\}", re.DOTALL)


def main(path: Path) -> None:
    train, test = (catalog.load("digits", split) for split in ("train", "test"))
    # The recordings of `neurosim simulate digits`, so that the figures are those of its report.
    liquid = Liquid(train.shape, neurons=1000).adapt(train.select(even(train.labels, GAIN_RECORDINGS)))
    readout = Readout().fit(liquid.run(train).spikes["liquid"], train.labels)
    result = liquid.run(test, count_updates=True)
    spikes = result.spikes["liquid"]
    right = (readout.predict(spikes) == test.labels).mean()
    operations = measure([*result.work, *readout.work(spikes)], len(test), result.duration).synaptic_operations
    fewer = operations.Dense / operations.effective
    one = spikes.select([RECORDING])
    parts = [
        *camera(test[RECORDING]),
        *raster(spikes[RECORDING]),
        *answer(readout.scores(one)[0], test.labels[RECORDING]),
        label(0, HEIGHT - 8, f"{len(test)} recordings never seen: {right:.1%} right", kind="title"),
        label(WIDTH, HEIGHT - 8, f"{fewer:,.0f} times fewer operations than dense in every step", "end", "title"),
    ]
    words = (
        "Events of a camera, the spikes of a liquid over time, and the scores of the ten digits: the highest is right"
    )
    write(path, picture(HEIGHT, words, parts, width=WIDTH))


def camera(events: Spikes) -> list[object]:
    """Draw the pixels that saw an event in the first third: ON and OFF in two colours, by which were more."""
    side = 200.0
    part = events.window(0.0, events.duration / 3)
    off, on = part.counts().reshape(events.shape)
    cell = side / on.shape[0]
    seen = [(np.flatnonzero((on >= off) & (on > 0)), "on"), (np.flatnonzero(off > on), "off")]
    pixels = [squares(where, on.shape[1], cell, 0.0, TOP, colour) for where, colour in seen]
    frame = rect(0, TOP, side, side, "fill:var(--card);stroke:var(--line)", radius=4)
    note = f"{len(events):,} events in {1e3 * events.duration:.0f} ms"
    return [*title(0, "an event camera sees a digit", note), frame, *pixels]


def raster(spikes: Spikes) -> list[object]:
    """Draw a dot for each spike: time to the right, neurons upwards."""
    left, right = 240.0, 690.0
    box = Box(left, TOP, right - left, FOOT - TOP, (0.0, spikes.duration), (0.0, spikes.size))
    across = np.rint(box.left + box.width * spikes.times / spikes.duration).astype(int)
    down = np.rint(box.top + box.height * (1 - (spikes.units + 0.5) / spikes.size)).astype(int)
    places = sorted(set(zip(across.tolist(), down.tolist(), strict=True)))
    path = "".join(f"M{x} {y}h1" for x, y in places)
    ticks: list[object] = []
    for t in nice(0.0, spikes.duration):
        ticks += [rule(box.across(t), box.top, box.across(t), box.foot)]
        ticks += [label(box.across(t), box.foot + 15, f"{1e3 * t:.0f}" + (" ms" if t else ""), "middle")]
    drawn = element("path", d=path, style="stroke:var(--spike);stroke-width:1.6;stroke-linecap:round")
    note = f"{len(spikes):,} spikes of {spikes.size} neurons"
    return [*title(left, "a network of spiking neurons answers", note), *ticks, drawn]


def answer(scores: NDArray[np.float64], right: int) -> list[object]:
    """Draw a bar for each class as far as its score lies above the lowest."""
    left, width = 748.0, 190.0
    row = (FOOT - TOP) / len(scores)
    lengths = (scores - scores.min()) / np.ptp(scores)
    parts: list[object] = []
    for k, length in enumerate(lengths):
        y = TOP + row * k
        best = k == scores.argmax()
        colour = "good" if best else "shade"
        bar = f"fill:var(--{colour})" + ("" if best else ";opacity:.45")
        parts += [label(left - 8, y + row - 5.5, str(k), "end", "title" if best else None)]
        parts += [rect(left, y + 3, max(width * length, 1), row - 6, bar, radius=3)]
    words = f"answer {scores.argmax()}, label {right}"
    return [*title(left - 16, "a readout names it", words), *parts]


def title(x: float, words: str, note: str) -> list[object]:
    return [label(x, 20, words, kind="title"), label(x, 40, note)]


def squares(where: NDArray[np.intp], columns: int, cell: float, left: float, top: float, colour: str) -> object:
    """Draw cells of a grid as one path."""
    places: Iterable[tuple[float, float]] = ((left + cell * (k % columns), top + cell * (k // columns)) for k in where)
    path = "".join(f"M{x:.1f} {y:.1f}h{cell:.1f}v{cell:.1f}h-{cell:.1f}z" for x, y in places)
    return element("path", d=path, style=f"fill:var(--{colour})")


def write(path: Path, chart: str) -> None:
    """Write a chart as a file of its own, in the light or dark colours of the reader."""
    light, dark = (re.sub(r"color-scheme:[^;]*;", "", found) for found in PLACES.findall(STYLE.read_text("utf-8"))[:2])
    style = (
        f"svg{{{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}"
        "text{font:13px system-ui,sans-serif;fill:var(--soft)}.title{fill:var(--ink);font-weight:600}"
        ".grid{stroke:var(--line)}"
    )
    style = re.sub(r"\s+", " ", style)
    chart = str(chart)  # markup would escape what is put into it
    start = chart.index(">") + 1
    head = chart[:start].replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    back = rect(-16, -12, WIDTH + 32, HEIGHT + 20, "fill:var(--paper)", radius=10)
    head = re.sub(r'viewBox="[^"]*"', f'viewBox="-16 -12 {WIDTH + 32:g} {HEIGHT + 20:g}"', head)
    write_text(path, f"{head}<style>{style}</style>{back}{chart[start:]}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
