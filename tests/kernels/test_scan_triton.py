"""The recurrence in Triton: interpreted, compiled for an H100 that is not there, on a GPU."""

from __future__ import annotations

import pytest
from helpers.triton_tools import cases, check_build, interpret, on_gpu

pytest.importorskip("torch")
pytest.importorskip("triton")

from neurosim.kernels.layers.scan import triton as scan_triton


@pytest.mark.slow
@pytest.mark.parametrize("case", cases("scan_cases"))
def test_interpreted(case: str) -> None:
    interpret("scan_cases", case)


@pytest.mark.gpu
@pytest.mark.parametrize("case", cases("scan_cases"))
def test_on_a_gpu(case: str) -> None:
    on_gpu("scan_cases", case)


def name(build) -> str:
    return f"{build.kernel.__name__}-{'-'.join(str(v) for v in build.constants.values())}"


BUILDS = list(scan_triton.builds())
# The first builds are the sample of the quick run.
SAMPLE = [pytest.param(build, marks=[pytest.mark.slow] if i >= 2 else []) for i, build in enumerate(BUILDS)]


@pytest.mark.parametrize("build", SAMPLE, ids=map(name, BUILDS))
def test_compiles_for_an_h100(build) -> None:
    assert not check_build(build).fused
