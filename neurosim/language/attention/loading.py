"""A model and its tensors by name: made without memory, compared with those of files, and given them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...base.errors import NeurosimFormatError, NeurosimInputError
from .huggingface.reader import CheckpointReader
from .model import LanguageConfig, LanguageModel
from .tensors import StoredTensor, require_floats


def load_model(
    built: LanguageConfig,
    stored: Mapping[str, StoredTensor],
    reader: CheckpointReader,
    where: str,
    aligned: bool = False,
) -> LanguageModel:
    """Return a model with its tensors mapped from files; names and shapes are compared before anything is allocated.

    Args:
        where: folder, for errors.
        aligned: as in `MappedFiles.load`.

    Raises:
        NeurosimFormatError: naming the tensors that do not fit.
    """
    names = {reader.ours(name): name for name in stored}

    def shown(name: str) -> str:
        """Return the name of a tensor in the file."""
        return names.get(name) or reader.theirs(name)

    def values(tensor: Callable[[StoredTensor], Tensor]) -> dict[str, Tensor]:
        """Return the tensors under our names and in our layout, each from its place by `tensor`."""
        return reader.change({ours: tensor(stored[theirs]) for ours, theirs in names.items()}, built)

    def places() -> dict[str, Tensor]:
        """Return the tensors without memory; those that are cut by sizes of the config must have them."""
        try:
            with WithoutDraws():
                return values(StoredTensor.empty)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise NeurosimFormatError(f"{where}: tensors do not fit config.json: {reason}") from None

    model = empty_model(built, where)
    load = partial(model.files.load, aligned=aligned)
    # First without memory: a file of another model is refused before gigabytes are read.
    match_tensors(model, places(), where, shown=shown)
    require_floats(stored)
    assign_tensors(model, match_tensors(model, values(load), where, shown=shown))
    model.tie()
    return model.requires_grad_()


def assign_tensors(model: nn.Module, tensors: Mapping[str, Tensor], blocks: Collection[str] = ()) -> None:
    """Give a model its tensors by name: matrices in 16 bits and integers as they are, all else as float32.

    Args:
        blocks: names of further tensors that stay as they are.
    """
    layers = ((name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear | nn.Embedding))
    matrices = {f"{name}.weight" for name, _ in layers}

    def typed(name: str, value: Tensor) -> Tensor:
        as_it_is = not value.is_floating_point() or (name in matrices and value.element_size() == 2)
        as_it_is = as_it_is or name in blocks
        return value if as_it_is else value.to(torch.float32)

    model.requires_grad_(False)  # integers cannot take part
    # The tensors themselves become the parameters, still mapped from their file.
    model.load_state_dict({name: typed(name, value) for name, value in tensors.items()}, assign=True)


# Functions of each element that first weights are computed with, and those that fill a tensor.
OPERATORS = {"add", "div", "mod", "mul", "neg", "pow", "radd", "rmul", "rsub", "sub", "truediv"}
ELEMENTWISE = OPERATORS | {"abs", "clamp", "exp", "expm1", "log", "remainder", "sign"}
DRAWS = {"normal_", "uniform_"}


class WithoutDraws(TorchFunctionMode):
    """A mode that computes no first weights, and nothing element by element, for tensors without memory.

    What an operation on such tensors would return is asked of torch's compiler, whose import takes 80 MB and 2 s.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if getattr(func, "__module__", "") == nn.init.__name__ or name in DRAWS:
            return args[0] if args else (kwargs or {})["tensor"]
        if name in MAKERS and (kwargs or {}).get("device") is None:
            return MAKERS[name](*args, **(kwargs or {}))
        if name in SHAPED and _are_meta(args):
            return SHAPED[name](*args, **(kwargs or {}))
        if name.strip("_") in ELEMENTWISE:
            tensors = [arg for arg in args if isinstance(arg, Tensor)]
            if all(tensor.is_meta for tensor in tensors):
                # `torch.broadcast_shapes` would import sympy.
                shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
                # Of no elements, the function itself says what type of numbers it returns.
                none = [_without_elements(arg) for arg in args]
                return torch.empty(shape, dtype=func(*none, **(kwargs or {})).dtype, device="meta")
        return func(*args, **(kwargs or {}))


def _are_meta(args: Sequence[Any]) -> bool:
    """Return whether the first argument is a tensor without memory, or several of them."""
    first = args[0] if args else None
    tensors = [first] if isinstance(first, Tensor) else list(first or ())
    return bool(tensors) and all(tensor.is_meta for tensor in tensors)


def _without_memory(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    return torch.empty(tuple(shape), dtype=dtype, device="meta")


def _arange(*args: Any, **kwargs: Any) -> Tensor:
    # Its type follows from the arguments.
    values = torch.arange(*args, **kwargs, device="cpu")
    return _without_memory(values.shape, values.dtype)


def _eye(
    rows: int, columns: int | None = None, *, out: Tensor | None = None, dtype: torch.dtype | None = None, **other: Any
) -> Tensor:
    if out is not None:
        return out
    return _without_memory((rows, rows if columns is None else columns), dtype or torch.get_default_dtype())


def _linspace(*args: Any, **kwargs: Any) -> Tensor:
    values = torch.linspace(*args, **kwargs, device="cpu")
    return _without_memory(values.shape, values.dtype)


def _randn(*size: Any, generator: torch.Generator | None = None, **other: Any) -> Tensor:
    return torch.empty(*size, **other, device="meta")


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    shape = list(tensors[0].shape)
    shape[dim] = sum(tensor.shape[dim] for tensor in tensors)
    return _without_memory(shape, tensors[0].dtype)


def _repeat(tensor: Tensor, *sizes: Any) -> Tensor:
    times = sizes[0] if isinstance(sizes[0], Sequence) else sizes
    shape = [1] * (len(times) - tensor.dim()) + list(tensor.shape)
    return _without_memory([size * count for size, count in zip(shape, times, strict=True)], tensor.dtype)


def _stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    shape = list(tensors[0].shape)
    shape.insert(dim % (len(shape) + 1), len(tensors))
    return _without_memory(shape, tensors[0].dtype)


def _sum(tensor: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    every = range(tensor.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    axes = {axis % tensor.dim() for axis in every}
    shape = [1 if axis in axes else size for axis, size in enumerate(tensor.shape) if keepdim or axis not in axes]
    return _without_memory(shape, torch.empty(0, dtype=tensor.dtype, device="cpu").sum().dtype)


# Functions that make tensors, and what returns the same without memory; `nn.init.eye_` calls `eye`.
MAKERS: Mapping[str, Callable[..., Tensor]] = {"arange": _arange, "eye": _eye, "linspace": _linspace, "randn": _randn}
# The same of functions whose results have other shapes than their tensors.
SHAPED: Mapping[str, Callable[..., Tensor]] = {"cat": _cat, "repeat": _repeat, "stack": _stack, "sum": _sum}


def _without_elements(argument: Any) -> Any:
    """Return a tensor of no elements for a tensor, with one dimension or, as a number, none; all else as it is."""
    if not isinstance(argument, Tensor):
        return argument
    shape = (0,) if argument.dim() else ()
    return torch.empty(shape, dtype=argument.dtype, device="cpu")


def empty_model(config: LanguageConfig, where: str) -> LanguageModel:
    """Return a model without memory for its weights.

    Raises:
        NeurosimInputError: the config makes none.
    """
    try:
        with torch.device("meta"), WithoutDraws():
            return LanguageModel(config)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise NeurosimInputError(f"{where}: config.json makes no model ({reason}); correct its sizes") from None


def match_tensors(
    module: nn.Module, tensors: Mapping[str, Tensor], where: str, shown: Callable[[str], str] = str
) -> dict[str, Tensor]:
    """Return the tensors by the names of the module: all of its own, of its shapes, and no others.

    Args:
        where: file or folder, for errors.
        shown: from a name of the module to that in the file, for errors.

    Raises:
        NeurosimFormatError: naming the tensors.
    """
    expected = module.state_dict(keep_vars=True)
    stored = _under_all_names(expected, dict(tensors))
    missing = sorted(shown(name) for name in set(expected) - set(stored))
    extra = sorted(shown(name) for name in set(stored) - set(expected))
    if missing or extra:
        lines = []
        if missing:
            lines.append(f"missing {listed(missing)}")
        if extra:
            lines.append(f"unexpected {listed(extra)}")
        # Most often one name is spelt in another way; the first pair shows it.
        near = difflib.get_close_matches(missing[0], extra, n=1) if missing else []
        hint = f" (is '{near[0]}' meant to be '{missing[0]}'?)" if near else ""
        raise NeurosimFormatError(f"{where}: tensors do not fit config.json: {'; '.join(lines)}{hint}")
    for name, value in expected.items():
        if stored[name].shape != value.shape:
            raise NeurosimFormatError(
                f"{where}: tensor '{shown(name)}' must be {list(value.shape)} (got {list(stored[name].shape)}); "
                "config.json and weights are not of one model"
            )
    return stored


def _under_all_names(expected: Mapping[str, Tensor], stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `stored` with tensors of several names under all of them: files store them once."""
    first: dict[int, str] = {}
    for name, value in expected.items():
        if name in stored:
            first.setdefault(id(value), name)
    return stored | {name: stored[first[id(value)]] for name, value in expected.items() if id(value) in first}


def listed(names: Sequence[str]) -> str:
    """Return the first five names, and the number of the others."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"'{name}'" for name in names[:5]) + more


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a model by name; one with several names under the first."""
    tensors: dict[int, tuple[str, Tensor]] = {}
    # Tied parameters are one object; copies of the values would not be.
    for name, value in model.state_dict(keep_vars=True).items():
        tensors.setdefault(id(value), (name, value))
    return dict(tensors.values())
