"""The message of a command while kernels are compiled, which takes seconds on its first run on a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ....kernels.tools.compiling import listeners

# Parts of the package, by the first word of a kernel's name.
PARTS = {
    "decode": "the step of a language model",
    "engine": "the engine",
    "io": "readers of recordings",
    "layers": "layers of networks",
    "memory": "memories",
    "spikes": "products with spikes",
    "tools": "random numbers",
}


@contextmanager
def compilation_shown(say: Callable[[str], None]) -> Iterator[None]:
    """Say what is compiled while the block runs: a line for each part of the package, as the first kernel of it is."""
    said: set[str] = set()

    def listen(kernel: str, is_cached: bool) -> None:
        part, _, _ = kernel.partition(".")
        if part not in PARTS or part in said:
            return
        said.add(part)
        if is_cached:
            say(f"compiling {PARTS[part]} ({kernel}), once on this machine")
        else:
            say(f"compiling {PARTS[part]} ({kernel}); set NUMBA_CACHE_DIR to a folder of yours to keep it")

    listeners.append(listen)
    try:
        yield
    finally:
        listeners.remove(listen)
