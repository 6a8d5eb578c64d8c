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

    def listen(kernel: str) -> None:
        part, _, _ = kernel.partition(".")
        if part in PARTS and part not in said:
            said.add(part)
            say(f"compiling {PARTS[part]} ({kernel}), once on this machine")

    listeners.append(listen)
    try:
        yield
    finally:
        listeners.remove(listen)
