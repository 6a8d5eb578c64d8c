"""Live answers: a liquid is trained on a folder of recordings, then asked while a stream comes in, packet by packet.

The stream is a file played at its own pace. With a camera, give `dv:` in the place of the file, or udp://HOST:PORT for
datagrams; on the command line: neurosim live walk.raw --model runs/RUN.
"""

import tempfile
from pathlib import Path

import numpy as np

from neurosim import Spikes, app
from neurosim.app.live.loop import LiveTotals, Receiver, answers, warm_up
from neurosim.app.live.models import open_model
from neurosim.app.live.sources import open_source
from neurosim.app.runs.liquid import KIND
from neurosim.data import write

SENSOR = (2, 16, 16)  # polarity, y, x
SPEED = 60.0  # pixels a second


def bar(direction: int, seconds: float, rng: np.random.Generator) -> Spikes:
    """Return the events of a vertical bar that moves to the left (-1) or to the right (1), again and again."""
    times = np.sort(rng.uniform(0, seconds, round(4000 * seconds)))
    x = np.floor(rng.uniform(0, 16) + direction * SPEED * times).astype(int) % 16
    polarity = rng.integers(0, 2, len(times))
    # What lies ahead of the bar gets brighter, what lies behind it darker.
    x = (x + direction * polarity) % 16
    return Spikes(times, (polarity * 16 + rng.integers(0, 16, len(times))) * 16 + x, 512, seconds, SENSOR)


rng = np.random.default_rng(0)
folder = Path(tempfile.mkdtemp())
for name, direction in (("left", -1), ("right", 1)):
    for k in range(60):
        write(folder / "bars" / name / f"{k}.dat", bar(direction, 0.3, rng))

config = KIND.configure(values={"data.name": "folder", "data.root": str(folder / "bars"), "liquid.neurons": 200})
result = app.start(KIND, config)
print(f"trained: accuracy {result.accuracy:.2f} on recordings of 0.3 s")

# A stream of 2 s: to the right, then to the left.
first = bar(1, 1.0, rng)
second = bar(-1, 1.0, rng)
times = np.concatenate([first.times, 1.0 + second.times])
write(folder / "stream.dat", Spikes(times, np.concatenate([first.units, second.units]), 512, 2.0, SENSOR))

PACKET = 0.02  # s
model = open_model(Path(result.run), threads=1)
warm_up(model, PACKET)
source = open_source(str(folder / "stream.dat"), model.shape, PACKET, {})
totals = LiveTotals()
before = ""
for answer in answers(model, Receiver(source, speed=1.0, max_behind=0.2), totals):
    label = model.classes[int(answer.scores.argmax())]
    if label != before:
        print(f"{answer.arrival.begin + PACKET:.2f} s: {label}")
    before = label
delays = {name: f"{1e3 * value:.0f} ms" for name, value in totals.from_packet.percentiles().items()}
print(f"from the end of a packet to its answer: p50 {delays['p50']}, p99 {delays['p99']}")
