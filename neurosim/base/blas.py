"""Linear algebra of numpy and scipy on one thread."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Run linear algebra on one thread: its rounding depends on their number."""
    # scipy brings a library of its own, which is there from the import of scipy.linalg on.
    limited: AbstractContextManager[Any] = _libraries("scipy.linalg" in sys.modules).limit(limits=1, user_api="blas")
    return limited


@cache
def _libraries(with_scipy: bool) -> Any:
    """Return the libraries that are loaded; a look for them takes 2 ms."""
    # That of numpy, whoever asks first.
    import numpy as np  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
