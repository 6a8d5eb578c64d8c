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

SHARED_LIMIT = 227 * 1024  # bytes a program can have on an H100
HOPPER = 90


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


class Resources(NamedTuple):
    """Resources of a compiled kernel, of one program or one thread."""

    shared: int  # bytes a program
    registers: int  # a thread
    stack: int  # bytes of local memory a thread: spilled registers, or an array that has no place in registers
    wgmma: bool  # uses Hopper's matrix instruction
    mma: bool  # uses the matrix instructions that older chips have
    fused: bool  # has float32 multiply-adds with one rounding
    local: int  # instructions that load from or store to local memory


def compile_for(build, capability=HOPPER):
    """Return the `Resources` of a `Build` on an NVIDIA chip of this compute capability."""
    import triton
    from triton.backends.compiler import GPUTarget

    kernel = build.kernel
    signature = {n: build.signature.get(n, "constexpr") for n in kernel.arg_names}
    constants = {(kernel.arg_names.index(n),): value for n, value in build.constants.items()}
    even = [n for n, kind in build.signature.items() if kind.startswith("*") or n in build.divisible]
    aligned = {(kernel.arg_names.index(n),): [["tt.divisibility", 16]] for n in even}
    compiled = triton.compile(
        triton.compiler.ASTSource(kernel, signature, constants, aligned),
        target=GPUTarget("cuda", capability, 32),
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


def _dump(cubin):
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


def _one(pattern, text):
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"cuobjdump: nothing matches {pattern} in\n{text}")
    return found[1]
