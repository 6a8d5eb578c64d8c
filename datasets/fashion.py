"""Fashion-MNIST: articles of clothing in the layout of MNIST, as images and before an emulated event camera."""

from __future__ import annotations

from functools import partial

from neurosim.data.catalog import Dataset
from neurosim.datasets.mnist import FILES, fetch_files, read_split, record_split, sources, verify_splits
from neurosim.datasets.nmnist import SHAPE

INFO = Dataset(
    name="fashion",
    title="Fashion-MNIST: articles of clothing, as images and before an emulated event camera",
    folder="FashionMNIST",
    layout="train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte "
    "(.gz or not)",
    shape=SHAPE,
    classes=(
        "T-shirt",
        "trousers",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    splits=tuple(FILES),
    recordings={"train": 60_000, "test": 10_000},
    licence="MIT",
    about=(
        "70,000 grey images, 28 x 28, of articles in ten classes; harder than MNIST and of the same layout. As "
        "recordings they move before an emulated event camera as those of mnist do. Cite Xiao, Rasul and Vollgraf "
        "2017, arXiv 1708.07747."
    ),
    sources=sources(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        {
            "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
)


# The functions of mnist for this dataset.
load = partial(record_split, INFO)
images = partial(read_split, INFO)
fetch = partial(fetch_files, INFO)
verify = partial(verify_splits, INFO)
