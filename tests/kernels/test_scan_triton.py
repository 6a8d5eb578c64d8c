"""The recurrence in Triton: interpreted, compiled for an H100 that is not there, on a GPU."""

from __future__ import annotations

import pytest
from helpers.triton_build import recorded
from helpers.triton_tools import cases, check_build, empty, interpret, of_each_kernel, on_gpu, samples

pytest.importorskip("torch")
pytest.importorskip("triton")

from neurosim.kernels.layers.scan import gpu as scan_triton
from neurosim.kernels.layers.scan import kinds as K


@pytest.mark.slow
@pytest.mark.parametrize("case", cases("scan_cases"))
def test_interpreted(case: str) -> None:
    interpret("scan_cases", case)


@pytest.mark.gpu
@pytest.mark.parametrize("case", cases("scan_cases"))
def test_on_a_gpu(case: str) -> None:
    on_gpu("scan_cases", case)


def launch() -> None:
    """Every kind with every reset; of one, all surrogates and strides, with and without gradients of constants."""
    for kind, reset in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0)):
        every = (kind, reset) == (0, 0)
        states = K.STATES[kind]
        constants = K.CONSTANTS[kind]
        x = empty(77, 3, 19)
        state = empty(states, 3, 19)
        c = empty(constants, 19)
        for stride in (0, 1, K.STRIDE) if every else (K.STRIDE,):
            scan_triton.launch(K.Recurrence(kind, reset), x, state, c, stride)
        for surrogate in range(4) if every else (1,):
            for trained in (False, True) if every else (True,):
                how = K.Recurrence(kind, reset, surrogate=surrogate)
                sums = empty(constants, 3, 19)
                scan_triton.launch_back(how, x, c, empty(3, states, 3, 19), x, state, x, sums, trained)


BUILDS = recorded(launch)


@pytest.mark.parametrize("build", samples(BUILDS))
def test_compiles_for_an_h100(build) -> None:
    assert not check_build(build).fused


@pytest.mark.parametrize("chip", ["A100", "MI300X"])
@pytest.mark.parametrize("build", of_each_kernel(BUILDS))
def test_compiles_for_other_chips(build, chip: str) -> None:
    found = check_build(build, chip=chip)
    # AMD's chips divide by fused multiply-adds, which is exact: there, they say nothing of products and sums.
    assert chip == "MI300X" or not found.fused
