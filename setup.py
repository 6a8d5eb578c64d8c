"""The packages of the distribution: the folders of neurosim/, and below them those of kernels/ and datasets/."""

import os

from setuptools import setup

FOLDERS = {"neurosim": "neurosim", "neurosim.kernels": "kernels", "neurosim.datasets": "datasets"}


def packages():
    """Names of all folders with modules, links not followed: a checkout may lack them."""
    for name, top in FOLDERS.items():
        for folder, _, files in os.walk(top):
            if any(file.endswith(".py") for file in files):
                yield (name + folder[len(top) :]).replace(os.sep, ".")


setup(packages=list(packages()), package_dir=FOLDERS)
