"""Compilation of Triton kernels for a GPU that is not there, and the resources they would take.

Triton's wheel ships the assembler and the tools that read its output, so registers, shared memory, spills and the
instructions used can be known, and asserted, on any Linux machine.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from neurosim.kernels.tools.triton_build import Build

SHARED_LIMIT = 227 * 1024  # bytes a program can have on an H100


class Resources(NamedTuple):
    """Resources of a compiled kernel, of one program or one thread."""

    shared: int  # bytes a program
    registers: int  # a thread
    stack: int  # bytes of local memory a thread: spilled registers, or an array that has no place in registers
    wgmma: bool  # uses Hopper's matrix instruction
    mma: bool  # uses the matrix instructions that older chips have
    fused: bool  # has float32 multiply-adds with one rounding
    local: int  # instructions that load from or store to local memory


def compile_for_hopper(build: Build) -> Resources:
    """Return the `Resources` of a build on an H100."""
    import triton
    from triton.backends.compiler import GPUTarget

    kernel = build.kernel
    signature = {n: build.signature.get(n, "constexpr") for n in kernel.arg_names}
    constants = {(kernel.arg_names.index(n),): value for n, value in build.constants.items()}
    even = [n for n, kind in build.signature.items() if kind.startswith("*") or n in build.divisible]
    aligned = {(kernel.arg_names.index(n),): [["tt.divisibility", 16]] for n in even}
    compiled = triton.compile(
        triton.compiler.ASTSource(kernel, signature, constants, aligned),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": build.warps, "num_stages": build.stages, "enable_fp_fusion": build.fusion},
    )
    ptx, usage, machine_code = compiled.asm["ptx"], *_dump(compiled.asm["cubin"])
    return Resources(
        shared=compiled.metadata.shared,
        registers=int(_one(r"REG:(\d+)", usage)),
        stack=int(_one(r"STACK:(\d+)", usage)),
        wgmma="wgmma.mma_async" in ptx,
        mma="mma.sync" in ptx,
        fused="fma.rn.f32" in ptx,
        local=len(re.findall(r"\b(?:LDL|STL)\b", machine_code)),
    )


def _dump(cubin: bytes) -> list[str]:
    """Return the resources and the instructions of a compiled kernel, as text of the wheel's own tool."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return [
            subprocess.run([tool, flag, file.name], capture_output=True, text=True, check=True).stdout
            for flag in ("--dump-resource-usage", "--dump-sass")
        ]


def _one(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"cuobjdump: nothing matches {pattern} in\n{text}")
    return found[1]
