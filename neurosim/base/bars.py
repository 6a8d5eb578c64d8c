"""Progress bars by tqdm, on a terminal and in a notebook."""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from typing import Any


@cache
def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook, whose output is no terminal and yet shows bars."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return False
    shell = ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


def shows_bars() -> bool:
    """Return whether standard error shows bars: a terminal does, and so does a notebook."""
    return in_notebook() or sys.stderr.isatty()


def bar_class() -> Any:
    """Return tqdm's class: in a notebook that has ipywidgets, the one that draws a widget."""
    if in_notebook() and find_spec("ipywidgets"):
        from tqdm.notebook import tqdm
    else:
        from tqdm import tqdm
    return tqdm
