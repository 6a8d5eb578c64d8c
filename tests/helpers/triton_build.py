"""Compilation of Triton kernels for a GPU that is not there, and the resources they would take.

Triton's wheel ships the assembler and the tools that read its output, so registers, shared memory, spills and the
instructions used can be known, and asserted, on any Linux machine. `recorded` runs launchers on tensors without memory
and notes the kernels that they launch instead of running them.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "int8": "i8", "int32": "i32", "int64": "i64"}


class Chip(NamedTuple):
    """A GPU that kernels are compiled for: Triton's backend, architecture and threads a warp; bytes that the programs'
    shared memory can have."""

    backend: str
    arch: int | str
    warp: int
    shared: int


CHIPS = {
    "A100": Chip("cuda", 80, 32, 163 * 1024),
    "H100": Chip("cuda", 90, 32, 227 * 1024),
    "MI300X": Chip("hip", "gfx942", 64, 64 * 1024),
}


class Build(NamedTuple):
    """One kernel in one configuration, as its launcher would compile it.

    Attributes:
        kernel: the function decorated with triton.jit.
        signature: types of the arguments that are not constants, by name: "*fp32", "*i8", "i32", "fp32".
        constants: values of the tl.constexpr arguments, by name.
        warps, stages: num_warps, num_stages.
        divisible: integer arguments that are multiples of 16; pointers always are.
        fusion: a product and a sum may be one instruction, with one rounding.
    """

    kernel: Any
    signature: dict[str, str]
    constants: dict[str, Any]
    warps: int = 4
    stages: int = 3
    divisible: tuple[str, ...] = ()
    fusion: bool = True


class Resources(NamedTuple):
    """Resources of a compiled kernel, of one program or one thread."""

    shared: int  # bytes a program
    registers: int  # a thread; on AMD its vector registers
    stack: int  # bytes of local memory a thread: spilled registers, or an array that has no place in registers
    wgmma: bool  # uses Hopper's matrix instruction
    mma: bool  # uses the matrix instructions of other chips
    fused: bool  # has float32 multiply-adds with one rounding
    local: int  # instructions that load from or store to local memory; on AMD the registers that were spilled


def recorded(launch: Callable[[], object]) -> list[Build]:
    """Return the kernels that `launch()` launches, on tensors of the meta device."""
    from triton.runtime.jit import JITFunction

    found: list[Build] = []

    def note(kernel: Any, *values: Any, grid: Any, warmup: bool, **named: Any) -> None:
        found.append(_build(kernel, values, named))

    run = JITFunction.run
    JITFunction.run = note
    try:
        launch()
    finally:
        JITFunction.run = run
    return found


def _build(kernel: Any, values: tuple[Any, ...], named: dict[str, Any]) -> Build:
    """Return the `Build` of a launch: Triton takes an integer of 1 as a constant, and notes multiples of 16."""
    given = dict(zip(kernel.arg_names, values, strict=False)) | {
        n: v for n, v in named.items() if n in kernel.arg_names
    }
    constant = {p.name for p in kernel.params if p.is_constexpr} | {n for n, v in given.items() if v is None}
    constant |= {n for n, value in given.items() if type(value) is int and value == 1}
    signature = {}
    for name in given.keys() - constant:
        value = given[name]
        signature[name] = _type(value)
    return Build(
        kernel,
        {name: signature[name] for name in kernel.arg_names if name in signature},
        {name: given[name] for name in kernel.arg_names if name in constant},
        named.get("num_warps", 4),
        named.get("num_stages", 3),
        tuple(name for name, value in given.items() if signature.get(name) == "i32" and value % 16 == 0),
        named.get("enable_fp_fusion", True),
    )


def _type(value: Any) -> str:
    if hasattr(value, "dtype"):
        return f"*{TYPES[str(value.dtype).removeprefix('torch.')]}"
    if isinstance(value, float):
        return "fp32"
    return "i32" if abs(value) < 2**31 else "i64"


def compile_for(build: Build, chip: Chip) -> Resources:
    """Return the `Resources` of a build on a chip."""
    import triton
    from triton.backends.compiler import GPUTarget

    kernel = build.kernel
    signature = {n: build.signature.get(n, "constexpr") for n in kernel.arg_names}
    constants = {(kernel.arg_names.index(n),): value for n, value in build.constants.items()}
    even = [n for n, kind in build.signature.items() if kind.startswith("*") or n in build.divisible]
    aligned = {(kernel.arg_names.index(n),): [["tt.divisibility", 16]] for n in even}
    compiled = triton.compile(
        triton.compiler.ASTSource(kernel, signature, constants, aligned),
        target=GPUTarget(chip.backend, chip.arch, chip.warp),
        options={"num_warps": build.warps, "num_stages": build.stages, "enable_fp_fusion": build.fusion},
    )
    if chip.backend == "hip":
        return _of_amd(compiled.asm["amdgcn"], compiled.metadata.shared)
    ptx = compiled.asm["ptx"]
    usage, machine_code = _dump(compiled.asm["cubin"])
    return Resources(
        shared=compiled.metadata.shared,
        registers=int(_one(r"REG:(\d+)", usage)),
        stack=int(_one(r"STACK:(\d+)", usage)),
        wgmma="wgmma.mma_async" in ptx,
        mma="mma.sync" in ptx,
        fused="fma.rn.f32" in ptx,
        local=len(re.findall(r"\b(?:LDL|STL)\b", machine_code)),
    )


def _of_amd(assembly: str, shared: int) -> Resources:
    def field(name: str) -> int:
        return int(_one(rf"\.{name}:\s+(\d+)", assembly))

    return Resources(
        shared=shared,
        registers=field("vgpr_count"),
        stack=field("private_segment_fixed_size"),
        wgmma=False,
        mma="v_mfma" in assembly,
        fused=bool(re.search(r"v_(?:pk_)?fma(?:c|mk|ak)?_f32", assembly)),
        local=field("vgpr_spill_count") + field("sgpr_spill_count"),
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
        raise ValueError(f"nothing matches {pattern} in\n{text}")
    return found[1]
