"""Listeners to kernels that are compiled. Imports nothing, so that a command need not wait for numba to be one."""

from __future__ import annotations

# Each is called with the name of a kernel, "engine.clocked.loop.run", before that is compiled, and whether a cache will
# have it; not where one has it.
listeners = []
