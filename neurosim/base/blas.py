"""Linear algebra of numpy on one thread."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Run linear algebra on one thread: its rounding depends on their number."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")
