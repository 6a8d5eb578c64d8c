"""The tiers of tests for Triton kernels: interpreted in a subprocess, compiled for a GPU that is not there, on a GPU.

A module of cases holds functions `case_...(device)` that compare a kernel with its reference and raise where they
differ. `interpret` runs all of them once in Triton's interpreter ("cpu"); on a GPU the same functions run as they are.

    from helpers.triton_tools import cases, check_build, interpret, on_gpu

    @pytest.mark.parametrize("case", cases("scan_cases"))
    def test_interpreted(case): interpret("scan_cases", case)

    @pytest.mark.gpu
    @pytest.mark.parametrize("case", cases("scan_cases"))
    def test_on_a_gpu(case): on_gpu("scan_cases", case)

    BUILDS = recorded(lambda: forward(how, empty(13, 3, 19), ...))     # helpers.triton_build
    @pytest.mark.parametrize("build", samples(BUILDS))
    def test_compiles(build): check_build(build)

The interpreter takes 0.7 ms a program: keep grids under 200. Its bfloat16 arithmetic is wrong (load, cast, compute in
float32), and it lets tl.dot have sides under 16, which a GPU does not.
"""

from __future__ import annotations

import ast
import functools
import importlib
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .triton_build import Build, Resources

HERE = Path(__file__).parent
# Decided here, not by whoever runs the tests: whether a product and a sum are one instruction. Builds say it again.
FUSION = "TRITON_DEFAULT_FP_FUSION"


def cases(module: str) -> list[str]:
    """Names of the cases of tests/<module>.py, without importing it."""
    tree = ast.parse((HERE / f"{module}.py").read_text())
    return [n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("case_")]


@functools.cache
def _interpreted(module: str) -> dict[str, str]:
    """Every case's traceback, empty where it passed: one subprocess, for kernels are made as their module is read."""
    env = {**os.environ, "TRITON_INTERPRET": "1", FUSION: "1"}
    run = subprocess.run(
        [sys.executable, str(Path(__file__)), module], cwd=HERE, env=env, capture_output=True, text=True, check=False
    )
    if run.returncode:
        pytest.fail(f"the interpreter's process ended with {run.returncode}:\n{run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def interpret(module: str, case: str) -> None:
    """Fails with the traceback that the case gave in Triton's interpreter."""
    pytest.importorskip("triton")
    if failure := _interpreted(module)[case]:
        pytest.fail(failure)


def on_gpu(module: str, case: str) -> None:
    """Runs a case on the first GPU, or skips and says why."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU: torch.cuda.is_available() is false")
    getattr(importlib.import_module(f"helpers.{module}"), case)("cuda")


def empty(*shape: int, dtype: str = "float32"):  # type: ignore[no-untyped-def]
    """A tensor without memory, for launches that are recorded."""
    import torch

    return torch.empty(shape, dtype=getattr(torch, dtype), device="meta")


def of_each_kernel(builds: list[Build]) -> list:
    """One build of each kernel, for chips beside the H100; all slow."""
    found: dict[str, Build] = {}
    for build in builds:
        found.setdefault(build.kernel.__name__, build)
    return [pytest.param(build, id=name, marks=pytest.mark.slow) for name, build in found.items()]


def samples(builds: list[Build]) -> list:
    """Builds without repetitions, named by what differs; one of each kernel is the sample of the quick run."""
    found: dict[str, Build] = {}
    for build in builds:
        pointers = [kind[1:] for kind in build.signature.values() if kind.startswith("*")]
        parts = [build.kernel.__name__, *pointers, *map(str, build.constants.values()), *build.divisible]
        found.setdefault("-".join(parts), build)
    quick = {build.kernel.__name__: label for label, build in reversed(found.items())}.values()
    slow = [pytest.mark.slow]
    return [pytest.param(b, id=label, marks=[] if label in quick else slow) for label, b in found.items()]


def check_build(build: Build, wgmma: bool = False, chip: str = "H100") -> Resources:
    """Compiled for a chip: fits shared memory, spills nothing, uses wgmma exactly where that is expected."""
    pytest.importorskip("triton")
    from .triton_build import CHIPS, compile_for

    os.environ[FUSION] = "1"
    found = compile_for(build, CHIPS[chip])
    assert found.shared <= CHIPS[chip].shared, found
    assert found.stack == 0 and found.local == 0, found
    assert found.wgmma == wgmma, found
    return found


def main(module: str) -> None:
    outcome = {}
    for name in cases(module):
        try:
            getattr(importlib.import_module(module), name)("cpu")
            outcome[name] = ""
        except Exception:
            outcome[name] = traceback.format_exc()
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(sys.argv[1])
