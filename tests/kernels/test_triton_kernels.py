"""Triton kernels of spike products, coding and state: interpreted, compiled for an H100 that is not there, on a GPU."""

from __future__ import annotations

import importlib

import pytest
from helpers.triton_tools import cases, check_build, interpret, on_gpu

from neurosim.kernels.tools.triton_build import Build

pytest.importorskip("torch")
pytest.importorskip("triton")

CASES = [(f"{m}_cases", case) for m in ("encode", "accumulate", "lazy_state") for case in cases(f"{m}_cases")]
TRITON = (
    "spikes.encode.triton",
    "spikes.accumulate.triton",
    "spikes.accumulate.batch_triton",
    "spikes.accumulate.finish_triton",
    "spikes.lazy_state.triton",
)


def builds() -> list:
    """Every configuration of every kernel, with a name that says what differs."""
    found = []
    for name in TRITON:
        for build in importlib.import_module(f"neurosim.kernels.{name}").builds():
            pointers = [kind[1:] for kind in build.signature.values() if kind.startswith("*")]
            label = "-".join([build.kernel.__name__, *pointers, *(str(v) for v in build.constants.values())])
            # One build of each kernel is the sample of the quick run.
            known = {each.values[0].kernel.__name__ for each in found}
            marks = [pytest.mark.slow] if build.kernel.__name__ in known else []
            found.append(pytest.param(build, id=label, marks=marks))
    return found


# These are the sample of the quick run.
QUICK = ("encode_cases", "overlap_cases")


@pytest.mark.parametrize(
    ("module", "case"),
    [pytest.param(*case, marks=[] if case[0] in QUICK else [pytest.mark.slow]) for case in CASES],
)
def test_interpreted(module: str, case: str) -> None:
    interpret(module, case)


@pytest.mark.gpu
@pytest.mark.parametrize(("module", "case"), CASES)
def test_on_a_gpu(module: str, case: str) -> None:
    on_gpu(module, case)


@pytest.mark.parametrize("build", builds())
def test_compiles_for_an_h100(build) -> None:  # type: ignore[no-untyped-def]
    found = check_build(build)
    # Without leave to fuse, a sum of products must not be: spikes would flip where a potential meets its threshold.
    assert not (found.fused and not build.fusion)


def test_what_spills_is_seen() -> None:
    """The tools that the other tests trust: a kernel with far too much for its registers does not pass."""
    import triton
    import triton.language as tl

    @triton.jit
    def wide(x_ptr, y_ptr):
        at = tl.arange(0, 16384)
        x = tl.load(x_ptr + at)
        y = tl.cumsum(x, 0)
        tl.store(y_ptr + at, y * x)

    with pytest.raises(AssertionError, match=r"stack=[1-9]"):
        check_build(Build(wide, {"x_ptr": "*fp32", "y_ptr": "*fp32"}, {}, warps=1))
