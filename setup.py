"""The packages of the distribution: the folders of neurosim/, and below them those of kernels/ and datasets/."""

import os

from setuptools import setup
from setuptools.command.editable_wheel import editable_wheel

# The address of the public repository. A release sets it in the environment, and all other addresses follow.
REPOSITORY = os.environ.get("NEUROSIM_REPOSITORY", "").rstrip("/")
FOLDERS = {"neurosim": "neurosim", "neurosim.kernels": "kernels", "neurosim.datasets": "datasets"}


def packages():
    """Names of all folders with modules, links not followed: a checkout may lack them."""
    for name, top in FOLDERS.items():
        for folder, _, files in os.walk(top):
            if any(file.endswith(".py") for file in files):
                yield (name + folder[len(top) :]).replace(os.sep, ".")


def addresses():
    """Addresses in the metadata, by name; none without a repository."""
    if not REPOSITORY:
        return {}
    file = f"{REPOSITORY}/blob/main"
    return {
        "Source": REPOSITORY,
        "Documentation": f"{file}/docs/index.md",
        "Changelog": f"{file}/CHANGELOG.md",
        "Issues": f"{REPOSITORY}/issues",
    }


class Editable(editable_wheel):
    """Puts the checkout on the path (`pip install -e .`), where the default is an import hook.

    The hook is asked last. A script beside a checkout called `neurosim` then imports that folder, as a package without
    files; a package with an `__init__.py` anywhere on the path comes before it.
    """

    def initialize_options(self):
        super().initialize_options()
        self.mode = "compat"


setup(
    packages=list(packages()),
    package_dir=FOLDERS,
    project_urls=addresses(),
    cmdclass={"editable_wheel": Editable},
)
