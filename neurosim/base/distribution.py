"""The distribution: the check that it is whole, because an unrelated one has the same import name, and its extras."""

from __future__ import annotations

import os
import sys
import warnings

OURS = "neurosim-spiking"
REPAIR = f"run: pip uninstall neurosim {OURS}, then: pip install {OURS}"


def check_distribution(package: str, folder: str) -> None:
    """Warn where the other distribution is installed in the same place, and raise where it replaced our files.

    Args:
        package: the name of the package, whose `__distribution__` says whose it is.
        folder: of the package.

    Raises:
        ImportError: `__init__.py` of the package is not ours, or is gone: pip removes it with the other distribution.
    """
    if getattr(sys.modules[package], "__distribution__", None) != OURS:
        raise ImportError(
            f"{package}: __init__.py in {folder} is not the file of {OURS}; the unrelated distribution 'neurosim' "
            f"replaces it, and its removal removes it; {REPAIR}"
        )
    if has_other(os.path.dirname(folder)):
        # The place is given, so that the warning is one line: Python adds the source line where it finds one.
        warnings.warn_explicit(
            f"the unrelated distribution 'neurosim' is installed in the folder of {OURS}, under the same import name; "
            f"{REPAIR}",
            UserWarning,
            filename=package,
            lineno=1,
        )


def has_other(site: str) -> bool:
    """Return whether the other distribution is installed in a folder of packages."""
    try:
        names = os.listdir(site)
    except OSError:  # of a zip file, which holds one distribution
        return False
    # The metadata of ours begin with neurosim_spiking.
    return any(name.startswith("neurosim-") and name.endswith((".dist-info", ".egg-info")) for name in names)


def needs(name: str, error: ModuleNotFoundError) -> str:
    """Return what `name` needs, where Python found the package but not a package that it needs, and the command."""
    if error.name == "torch":
        return f"{name}: needs torch ({error}); run: {install('train')}"
    return f"{name}: needs {error.name}, which {sys.executable} does not have; with its pip run: {install()}"


def install(extra: str = "") -> str:
    """Return the command that installs the package and an extra, from the checkout where it is used from one."""
    import shlex

    extras = f"[{extra}]" if extra else ""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if os.path.isfile(os.path.join(root, "pyproject.toml")):
        return f"pip install -e {shlex.quote(f'{root}{extras}')}"
    return f"pip install {shlex.quote(f'{OURS}{extras}')}"
