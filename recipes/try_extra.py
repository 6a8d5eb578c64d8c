"""One command or function that needs an extra, in the environment that runs this file.

python try_extra.py EXTRA        ends with an error where what the extra is for does not work

`build.sh` runs it in an empty folder and in an environment with that extra alone. Files of other programs come from the
helpers of the tests, which are beside the package in a checkout and in the source distribution.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from neurosim import LIF, Network, PoissonInput, Population, Probe, simulate

TRAIN = ["--train-limit", "40", "--limit", "20", "--epochs", "1", "--set", "baselines.cnn=false", "--quiet"]


def command(*words: str) -> None:
    """Run a command of neurosim; raise CalledProcessError where it fails."""
    subprocess.run([sys.executable, "-m", "neurosim", *words], check=True, stdout=subprocess.DEVNULL)


def a_network() -> Network:
    return Network([Population("cells", 20, LIF())], [], [PoissonInput("cells", 900.0, 0.2)])


def train() -> None:
    command("train", "digits", *TRAIN)
    command("convert", "lm-train", "--set", "training.steps=2", "--out", "lm", "--quiet")


def gpu() -> None:
    import torch

    from neurosim.kernels.spikes.accumulate import gpu as kernels

    print("a card is there:", torch.cuda.is_available(), kernels.__name__)


def tonic() -> None:
    import tonic as library

    from neurosim.data import catalog
    from neurosim.data.tonic import TonicDataset

    recordings = catalog.load("digits", "test").select(range(3))
    _, height, width = recordings.shape
    frames = library.transforms.ToFrame((width, height, 2), n_time_bins=5)
    picture, _ = TonicDataset(recordings, transform=frames)[0]
    assert picture.shape == (5, 2, height, width) and picture.sum() > 0


def nir() -> None:
    from neurosim import OneToOne, Projection, SpikeSource
    from neurosim.network import from_nir, to_nir, write_nir

    populations = [Population("in", 20, SpikeSource()), Population("cells", 20, LIF())]
    network = Network(populations, [Projection("in", "cells", OneToOne(), 1.0, delay=1e-3)])
    write_nir("net.nir", to_nir(network, dt=1e-3))
    assert len(from_nir("net.nir", dt=1e-3).populations) == 2


def hdf5() -> None:
    import h5py
    import hdf5plugin

    from neurosim.data import read

    columns = {"t": np.arange(0, 50_000, 10), "x": np.arange(5000) % 640, "y": np.arange(5000) % 480}
    columns["p"] = np.arange(5000) % 2
    for name, filter in (("blosc", hdf5plugin.Blosc(cname="zstd")), ("zstd", hdf5plugin.Zstd())):
        with h5py.File(f"{name}.h5", "w") as file:
            for key, values in columns.items():
                file.create_dataset(f"events/{key}", data=values.astype(np.uint32), chunks=(1000,), **filter)
            file["t_offset"] = 0
        assert len(read(f"{name}.h5")) == 5000


def aedat4() -> None:
    import zstandard
    from helpers.aedat4 import in_packets, made, recording

    from neurosim.data import read

    pack = zstandard.ZstdCompressor().compress
    Path("events.aedat4").write_bytes(recording(in_packets(made(300)), 3, pack))
    assert len(read("events.aedat4")) == 300


def ros() -> None:
    from helpers.bags import write_arrays

    from neurosim.data import read

    table = np.stack([np.arange(90) * 1000, np.arange(90) % 40, np.arange(90) % 30, np.arange(90) % 2], axis=1)
    for kind in (".bag", ".db3", ".mcap"):
        assert len(read(write_arrays(Path(f"bag{kind[1:]}"), "dvs_msgs", kind, table))) == 90


def camera() -> None:
    from neurosim import NeurosimError
    from neurosim.app.live.sources import open_camera
    from neurosim.base import NeurosimMissingError

    try:
        open_camera("//127.0.0.1:9")
    except NeurosimMissingError:
        raise
    except NeurosimError as error:
        print(error)


def plot() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from neurosim import plot as ours

    ours.raster(simulate(a_network(), 0.1, seed=1).spikes)
    pyplot.savefig("raster.svg")


def tables() -> None:
    from neurosim.engine import tables as ours

    result = simulate(a_network(), 0.1, seed=1, probes=[Probe("cells", "v", 1e-3)])
    assert len(ours.to_pandas(result)) and ours.to_xarray(result) is not None and ours.to_neo(result) is not None


def edges() -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"pre": [1, 2], "post": [2, 3], "weight": [0.5, 0.5]}), "edges.parquet")
    command("simulate", "--edges", "edges.parquet", "--activate", "1", "--rate", "99", "--duration", "0.05", "--quiet")


def equations() -> None:
    from neurosim.network import equations as model

    cells = model("dv/dt = (i - v) / (20*ms) : 1", threshold="v > 1", reset="v = 0", parameters={"i": 1.5})
    assert len(simulate(Network([Population("cells", 5, cells())]), 0.2).spikes["cells"])


def pynn() -> None:
    import neurosim.pynn as sim

    sim.setup(timestep=0.1, seed=1)
    cells = sim.Population(5, sim.IF_curr_exp(i_offset=1.0))
    cells.record("spikes")
    sim.run(100.0)
    assert len(cells.get_data().segments[0].spiketrains[0])


def serve() -> None:
    import starlette
    import uvicorn

    from neurosim.app.serve.server import key_for

    assert key_for("127.0.0.1") is None
    print("starlette", starlette.__version__, "uvicorn", uvicorn.__version__)


def text() -> None:
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer, models

    from neurosim.language.attention.tokenizer import JsonTokenizer

    Tokenizer(models.WordLevel({"spike": 0, "?": 1}, unk_token="?")).save("tokenizer.json")
    assert JsonTokenizer(Path("tokenizer.json")).encode(b"spike") == [0]
    assert SentencePieceProcessor is not None


def hub() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from neurosim.base import NeurosimMissingError
    from neurosim.language.attention.hub import resolve_model

    try:
        resolve_model("nobody/nothing")
    except NeurosimMissingError as error:
        assert "neither in the cache" in str(error), error


def tensorboard() -> None:
    from neurosim.app.runs.frame.logs import check_logs

    check_logs(["tensorboard"])


def images() -> None:
    from PIL import Image

    for label in ("dark", "light"):
        Path("pictures", label).mkdir(parents=True)
        for number in range(4):
            level = number + 200 * (label == "light")
            Image.fromarray(np.full((12, 12), level, np.uint8)).save(f"pictures/{label}/{number}.png")
    command("datasets", "info", "pictures")


def neurobench() -> None:
    from neurosim.learning.training import neurobench as ours

    assert ours.table([]) is not None


def cluster() -> None:
    from distributed import LocalCluster

    Path("net.toml").write_text('[simulation]\nduration = 0.05\n[[population]]\nname = "a"\nshape = 3\nmodel = "LIF"\n')
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as local:
        command("sweep", "net.toml", "--seeds", "2", "--cluster", local.scheduler_address, "--quiet")


def mpi() -> None:
    program = Path("two.py")
    program.write_text("from mpi4py import MPI\nprint(MPI.COMM_WORLD.allreduce(1))\n")
    launcher = Path(sys.executable).parent / "mpirun"
    done = subprocess.run([launcher, "-n", "2", sys.executable, program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "2"], done.stdout


def docs() -> None:
    subprocess.run([sys.executable, "-m", "mkdocs", "--version"], check=True)


def test() -> None:
    tests = Path(__file__).resolve().parents[1] / "tests"
    chosen = [str(tests / "data" / "test_spikes.py"), str(tests / "data" / "test_camera_hdf5.py")]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *chosen], check=True
    )


def every() -> None:
    for each in ("tonic", "nir", "hdf5", "aedat4", "ros", "plot", "tables", "text", "hub", "images", "equations"):
        EXTRAS[each]()


EXTRAS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        *(train, gpu, tonic, nir, hdf5, aedat4, ros, camera, plot, neurobench, tables, edges, pynn, equations, serve),
        *(text, hub, docs, tensorboard, images, cluster, mpi, test),
    )
} | {"all": every}


if __name__ == "__main__":
    EXTRAS[sys.argv[1]]()
