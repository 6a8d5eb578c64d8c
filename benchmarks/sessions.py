"""Objects recorded in two simulated sessions: learned in the first, named in the second.

    NEUROSIM_DATA=FOLDER python benchmarks/sessions.py [--seeds 3] [--json]

20 objects, two pictures of each class of Fashion-MNIST, before the emulated event camera. Session 1 has 12 recordings
of each, session 2 six. Between recordings of a session an object moves by up to a pixel and turns by up to 5 degrees.
In session 2 it stands elsewhere, by up to 2 pixels and 10 degrees, in less contrast, and the camera moves faster, has
other thresholds and more noise. A seed draws objects, sessions, and the random weights of liquid and CNN. Default
settings; nothing is chosen by these answers. Readers: the liquid and readout of `neurosim simulate`, and the small CNN,
RBF SVM and nearest neighbour that stand beside it.
"""

from __future__ import annotations

from dataclasses import replace

import frame
import numpy as np
from numpy.typing import NDArray
from robustness import READERS
from scipy.ndimage import rotate, shift

from neurosim import Recordings
from neurosim.app.runs import classifiers
from neurosim.app.runs.score import wilson
from neurosim.data import catalog
from neurosim.data.camera import EventCamera
from neurosim.data.saccades import ImageCamera

CLASSES = 10
EACH = 2  # objects of a class
RECORDINGS = (12, 6)  # of an object in each session
CAMERAS = (
    ImageCamera(),
    ImageCamera(contrast=2.5, saccade=0.095, camera=EventCamera(threshold_on=0.35, threshold_off=0.25, noise_rate=1.0)),
)
# Largest shift (pixels) and turn (degrees) of an object between recordings, and between the sessions.
WITHIN = (1.0, 5.0)
BETWEEN = (2.0, 10.0)


def objects(seed: int) -> NDArray[np.uint8]:
    """Return [objects, 28, 28] pictures, drawn by the seed."""
    module = catalog.module("fashion")
    images = module.images("test", catalog.find_root(module.INFO))
    chance = np.random.default_rng(seed)
    drawn = [chance.choice(np.flatnonzero(images.labels == k), EACH, replace=False) for k in range(CLASSES)]
    return images.pixels[np.concatenate(drawn)]


def session(pictures: NDArray[np.uint8], number: int, seed: int) -> Recordings:
    """Return the recordings of all objects in one session, labelled by object."""
    chance = np.random.default_rng([seed, number])
    camera = replace(CAMERAS[number], seed=seed)
    spikes = []
    for picture in pictures:
        # The first session is where the objects stand straight.
        place = chance.uniform(-1, 1, 3) * number
        for _ in range(RECORDINGS[number]):
            own = chance.uniform(-1, 1, 3)
            turn = BETWEEN[1] * place[0] + WITHIN[1] * own[0]
            moves = BETWEEN[0] * place[1:] + WITHIN[0] * own[1:]
            seen = shift(rotate(picture.astype(float), turn, reshape=False, order=1), moves, order=1)
            spikes.append(camera.record(np.clip(seen, 0, 255).astype(np.uint8), 1000 * number + len(spikes)))
    labels = np.repeat(np.arange(len(pictures)), RECORDINGS[number])
    return Recordings.collect(spikes, labels, tuple(f"object {k}" for k in range(len(pictures))))


def nearest(train: Recordings, test: Recordings) -> NDArray[np.int64]:
    """Return the labels of the nearest training recordings, by the counts that the SVM sees."""
    known = classifiers.features(train)
    own = classifiers.features(test)
    distances = (known**2).sum(axis=1) - 2 * own @ known.T
    return np.asarray(train.labels)[distances.argmin(axis=1)]


def main() -> None:
    options = frame.arguments(__doc__, seeds=3).parse_args()
    scores: dict[str, list[float]] = {name: [] for name in (*READERS, "nearest neighbour")}
    for seed in range(options.seeds):
        pictures = objects(seed)
        first, second = (session(pictures, number, seed) for number in range(2))
        for name, learn in READERS.items():
            scores[name].append(float(np.mean(learn(first, seed)(second) == second.labels)))
        scores["nearest neighbour"].append(float(np.mean(nearest(first, second) == second.labels)))
        frame.say(f"seed {seed}: " + ", ".join(f"{name} {values[-1]:.3f}" for name, values in scores.items()))
    items = options.seeds * len(second)
    rows = []
    for name, values in scores.items():
        mean = float(np.mean(values))
        low, high = wilson(round(mean * items), items)
        rows.append({"reader": name, "accuracy": mean, "low": low, "high": high, "seeds": options.seeds})
    frame.report(options, frame.records(rows), {"rows": rows, "items": items})


if __name__ == "__main__":
    main()
