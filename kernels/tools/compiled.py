"""The decorator of kernels: compiled in nopython mode, kept on disk, run without the interpreter's lock.

It makes no wrapper for callers in C, a fourteenth of the time to compile: what is called by address is a `cfunc` (see
`pointers.address_of`), which has its own.
"""

from numba import njit

compiled = njit(cache=True, nogil=True, no_cfunc_wrapper=True)
