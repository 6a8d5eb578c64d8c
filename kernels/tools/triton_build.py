"""Configurations of Triton kernels, for their launchers to list and for tests to compile."""

from __future__ import annotations

from typing import NamedTuple


class Build(NamedTuple):
    """One kernel in one configuration, as its launcher would compile it.

    Attributes:
        kernel: the function decorated with triton.jit.
        signature: types of the arguments that are not constants, by name: "*fp32", "*i8", "i32", "fp32".
        constants: values of the tl.constexpr arguments, by name.
        warps, stages: num_warps, num_stages.
        divisible: integer arguments that are multiples of 16; pointers always are.
        fusion: a product and a sum may be one instruction, with one rounding.
        wgmma: Hopper's matrix instruction is expected.
    """

    kernel: object
    signature: dict
    constants: dict
    warps: int = 4
    stages: int = 3
    divisible: tuple = ()
    fusion: bool = True
    wgmma: bool = False
