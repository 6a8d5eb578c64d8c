"""Triton kernels of spike products, coding and state: interpreted, compiled for an H100 that is not there, on a GPU."""

from __future__ import annotations

import pytest
from helpers.triton_build import Build, recorded
from helpers.triton_tools import cases, check_build, empty, interpret, of_each_kernel, on_gpu, samples

pytest.importorskip("torch")
pytest.importorskip("triton")

from neurosim.kernels.spikes.accumulate import gpu as accumulate
from neurosim.kernels.spikes.accumulate.batch_gpu import batch
from neurosim.kernels.spikes.accumulate.finish_gpu import finish
from neurosim.kernels.spikes.encode import gpu as encode
from neurosim.kernels.spikes.encode.reference import AWAY, EVEN, NEAREST, SEARCH, UP, Escapes, Rounding
from neurosim.kernels.spikes.lazy_state.gpu import lazy_scan
from neurosim.kernels.spikes.lazy_state.reference import LazyState

CASES = [(f"{m}_cases", case) for m in ("encode", "accumulate", "lazy_state") for case in cases(f"{m}_cases")]
EDGES = empty(127)
LEVELS = empty(128, dtype="int8")
SOUGHT = Rounding(SEARCH, edges=EDGES, levels=LEVELS)


def launch_encode() -> None:
    """Every tile and branch, every type of x."""
    for inputs, kind, planes, given, rounding in (
        (96, "float32", 3, False, NEAREST),
        (1000, "float16", 0, False, NEAREST),
        (5000, "float32", 0, False, NEAREST),
        (5000, "float32", 0, False, Rounding(EVEN, max_count=15.0)),
        (5000, "bfloat16", 0, True, Rounding(AWAY, max_count=15.0)),
        (5000, "float32", 3, True, SOUGHT),
        (5000, "float32", 0, True, SOUGHT),
        (5000, "bfloat16", 7, False, Rounding(UP, max_count=15.0)),
    ):
        thresholds = empty(inputs) if given else None
        encode.launch(empty(3, inputs, dtype=kind), 3.0, thresholds, 2**planes - 1 or 127, planes, rounding)


def launch_products() -> None:
    """One token, a few and many, by every type of weights; sizes that are multiples of 16, and others."""
    for x, weights, given, rounding in (
        ("bfloat16", "bfloat16", False, NEAREST),
        ("float16", "float16", True, NEAREST),
        ("float32", "int8", False, NEAREST),
        ("float32", "int8", True, SOUGHT),
        ("float32", "float32", False, NEAREST),
    ):
        for inputs in (4096, 4090) if given or weights == "int8" else (4096,):
            matrix = empty(inputs, inputs, dtype=weights)
            thresholds = empty(inputs) if given else None
            accumulate.decode(empty(1, inputs, dtype=x), matrix, 3.0, thresholds, None, rounding)
    for weights in ("int8", "bfloat16", "float16", "float32"):
        accumulate.product(empty(7, 4096, dtype="int8"), empty(4096, 4096, dtype=weights), escapes(7, 4096))
        if weights in ("float16", "int8"):  # an integer of 1 becomes a constant
            accumulate.product(empty(1, 4090, dtype="int8"), empty(4090, 4090, dtype=weights), escapes(1, 4090))
    for weights, planes, rows, transposed, size in (
        ("int8", 0, 256, True, 4096),
        ("int8", 0, 64, True, 4096),
        ("int8", 3, 256, True, 4096),
        ("int8", 7, 256, True, 4096),
        ("int8", 0, 256, False, 4096),
        ("bfloat16", 0, 256, True, 4096),
        ("float16", 0, 256, False, 4096),
        ("bfloat16", 3, 256, True, 4096),
        ("float32", 0, 256, True, 4090),
        ("int8", 3, 256, True, 4090),
        ("int8", 0, 256, False, 4090),
        ("float16", 7, 256, True, 4090),
        ("bfloat16", 0, 256, False, 4090),
    ):
        matrix = empty(size, size, dtype=weights)
        if planes:
            spikes = empty(rows, 1 + planes, -(-size // 32), dtype="int32")
        else:
            spikes = empty(rows, size, dtype="int8")
        batch(spikes, planes, rows, size, matrix.T if transposed else matrix, escapes(rows, size))
    for kind, steps, thresholds in (("float32", None, empty(3)), ("int32", None, None), ("int32", empty(70), empty(3))):
        finish(empty(17, 3, 70, dtype=kind), thresholds, steps)


def escapes(rows: int, size: int) -> Escapes:
    number = empty(rows, dtype="int32")
    return Escapes(number, empty(rows, size, dtype="int32"), empty(rows, size, dtype="int32"))


def launch_states() -> None:
    """Head widths, one token or many, with and without decay and delta rule."""
    for tokens, keys, width, decay, delta in (
        (1, 64, 64, (2, 64), True),
        (9, 128, 128, (2,), False),
        (9, 128, 130, (2, 128), True),
        (9, 512, 64, (2, 512), True),
        (9, 512, 130, None, True),
    ):
        q = empty(tokens, 2, keys)
        v = empty(tokens, 2, width)
        g = decay and empty(tokens, *decay)
        beta = empty(tokens, 2) if delta else None
        lazy_scan(LazyState(empty(2, keys, width), empty(2, keys)), q, q, v, g, beta, 1.0)


BUILDS = [b for launch in (launch_encode, launch_products, launch_states) for b in recorded(launch)]


# These are the sample of the quick run.
QUICK = ("encode_cases", "overlap_cases")
DEAR = ("case_token_thresholds", "case_half_precision")  # seconds


@pytest.mark.parametrize(
    ("module", "case"),
    [
        pytest.param(*case, marks=[] if case[0] in QUICK and case[1] not in DEAR else [pytest.mark.slow])
        for case in CASES
    ],
)
def test_interpreted(module: str, case: str) -> None:
    interpret(module, case)


@pytest.mark.gpu
@pytest.mark.parametrize(("module", "case"), CASES)
def test_on_a_gpu(module: str, case: str) -> None:
    on_gpu(module, case)


@pytest.mark.parametrize("build", samples(BUILDS))
def test_compiles_for_an_h100(build) -> None:  # type: ignore[no-untyped-def]
    weights = build.signature.get("weights_ptr")
    found = check_build(build, wgmma=build.kernel.__name__ == "batch_kernel" and weights != "*fp32")
    # Without leave to fuse, a sum of products must not be: spikes would flip where a potential meets its threshold.
    assert not (found.fused and not build.fusion)


@pytest.mark.parametrize("chip", ["A100", "MI300X"])
@pytest.mark.parametrize("build", of_each_kernel(BUILDS))
def test_compiles_for_other_chips(build, chip: str) -> None:  # type: ignore[no-untyped-def]
    found = check_build(build, chip=chip)
    assert found.mma == (build.kernel.__name__ in ("few_kernel", "batch_kernel"))


@pytest.mark.slow
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
