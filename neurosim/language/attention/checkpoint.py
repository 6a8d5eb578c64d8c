"""Models in folders: config.json and model.safetensors, our own and of other libraries."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...base.atomic import replacing
from ...base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, require
from ...base.json_toml import read_json
from .gguf.families import reader_of_gguf, tensors_of
from .gguf.file import SUFFIX, read_gguf
from .huggingface import reader_of
from .huggingface.config import CheckpointConfig, layer_numbers
from .huggingface.reader import CheckpointReader
from .huggingface.rwkv import PTH
from .model import LanguageConfig, LanguageModel
from .pth import read_pth
from .tensors import (
    DeferredTensor,
    StoredTensor,
    read_headers,
    read_metadata,
    require_floats,
    save_tensors,
)

OWN = "neurosim"
FORMAT = 1
SINGLE_FILES = (".pth", SUFFIX)  # models that are one file, without a config.json
# First bytes of files of models that are not read, or not under their name: what they are, and the next step.
KINDS_BY_BYTES = (
    (b"GGUF", "a GGUF file", f"rename it to end in {SUFFIX}"),
    (
        b"PK\x03\x04",
        "a zip archive, as torch.save writes",
        "convert it to safetensors; of RWKV, rename it to end in .pth",
    ),
    (b"\x80", "a pickle, which may run programs when it is read", "convert it to safetensors"),
    (b"fmgg", "a ggml file, as rwkv.cpp writes", "give the .pth file that it was made of"),
    (b"lmgg", "a ggml file", "convert it to GGUF"),
    (b"tjgg", "a ggml file", "convert it to GGUF"),
)


def write_model(folder: str | os.PathLike[str], model: LanguageModel) -> None:
    """Write a model as `config.json` and `model.safetensors`.

    Raises:
        NeurosimWriteError: the disk refuses; both files are as they were, or not there.
    """
    about = {"model_type": OWN, "format": FORMAT, "config": model.config.to_json()}
    write_folder(Path(folder), about, stored_tensors(model).items())


def write_folder(
    folder: Path, about: Mapping[str, object], tensors: Iterable[tuple[str, Tensor | DeferredTensor]]
) -> None:
    """Write `config.json` and `model.safetensors`, both whole on disk before either takes its place.

    The weights repeat the config, and both its digest: after a kill between the two, `read_about` finds the config that
    belongs to the weights.

    Raises:
        NeurosimWriteError: the disk refuses; both files are as they were, or not there.
    """
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    text = json.dumps({**about, "digest": digest}, indent=2, allow_nan=False) + "\n"
    with replacing(folder / "config.json") as config, replacing(folder / "model.safetensors") as weights:
        config.write_text(text)
        save_tensors(weights, tensors, {"config": text, "digest": digest})


def read_about(folder: Path) -> dict[str, object]:
    """Return the description that `write_folder` wrote, or the config.json of another library.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not a JSON object.
    """
    config = dict(read_config(folder))
    digest = config.pop("digest", None)
    weights = folder / "model.safetensors"
    if digest is not None and weights.is_file():
        stored = read_metadata(weights)
        # A kill between the two files: the config in the weights is the one that they were written with.
        if stored.get("digest") != digest and isinstance(stored.get("config"), str):
            try:
                config = dict(json.loads(str(stored["config"])))
            except (ValueError, TypeError, RecursionError) as error:
                raise NeurosimFormatError(f"{weights}: its config is not JSON ({error}); write it again") from None
            config.pop("digest", None)
    return config


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a model by name; one with several names under the first."""
    tensors: dict[int, tuple[str, Tensor]] = {}
    # Tied parameters are one object; copies of the values would not be.
    for name, value in model.state_dict(keep_vars=True).items():
        tensors.setdefault(id(value), (name, value))
    return dict(tensors.values())


def read_model(folder: str | os.PathLike[str], norm_eps: float | None = None) -> LanguageModel:
    """Return the model of a folder that `write_model` wrote, of a Hugging Face folder of a type in `READERS`, of a
    `.pth` file of the RWKV project, or of a `.gguf` file of an architecture in `ARCHITECTURES`.

    Weights may be float32, float16, bfloat16 or float64, in one file or several with an index; in a `.gguf` file they
    may be in blocks (`BLOCKS`). They are mapped into memory, and read when they are used. Matrices of linear layers and
    of the embedding keep their 16 bits or their blocks (`.float()` widens them, to train them); all else becomes
    float32, and so are all computations.

    Args:
        norm_eps: epsilon of the norm of each head's outputs, of RWKV, whose files do not say it. By default 64e-5, as
            the RWKV project takes; rwkv.cpp takes 1e-5, and its first logits differ then.

    Raises:
        NeurosimMissingError: no such folder or file.
        NeurosimInputError: an unknown model type, or an option of it that is not supported: names it.
        NeurosimFormatError: a damaged file; tensors missing, left over or of another shape: names them.
    """
    folder = Path(folder)
    if folder.suffix == SUFFIX:
        file = read_gguf(folder)
        built, reader = reader_of_gguf(file)
        built = _with_norm_eps(built, norm_eps)
        return load_model(built, tensors_of(file), reader, str(folder)).eval()
    if folder.suffix == ".pth":
        stored = read_pth(folder)
        where = str(folder)
        source = _checkpoint_config({}, stored)
        built = _with_norm_eps(PTH.config(source), norm_eps)
        return load_model(built, stored, PTH, where).eval()
    config = read_about(folder)
    kind = str(config.get("model_type"))
    stored = read_headers(folder)
    where = f"{folder / 'config.json'}"
    # Our own folders need no names changed, and are read with the bits that they were saved with.
    if kind == OWN:
        version = config.get("format")
        require(version == FORMAT, f"{folder}: format", f"must be {FORMAT}: upgrade neurosim", version)
        reader = CheckpointReader(LanguageConfig.from_json, root="", block={})
        built = own_config(config, stored)
    else:
        reader = reader_of(kind, _checkpoint_config(config, stored), f"{where}: model_type")
        stored = {_unwrapped(name, stored): entry for name, entry in stored.items() if reader.takes(name)}
        source = _checkpoint_config(config, stored)
        built = reader.config(source)
        source.warn(where)
    built = _with_norm_eps(built, norm_eps)
    return load_model(built, stored, reader, str(folder), aligned=kind == OWN).eval()


def _unwrapped(name: str, stored: Collection[str]) -> str:
    """Return the name of a tensor without what torch.compile and parallel training put in front of all names."""
    for prefix in ("module.", "_orig_mod."):
        if all(each.startswith(prefix) for each in stored):
            return name.removeprefix(prefix)
    return name


def _with_norm_eps(config: LanguageConfig, eps: float | None) -> LanguageConfig:
    """Return a config of RWKV with another epsilon of the norm of each head's outputs.

    Raises:
        NeurosimInputError: layers of another kind.
    """
    if eps is None:
        return config
    require(0 < eps < 1, "norm_eps", "must be > 0 and < 1", eps)
    layers = []
    for layer in config.layers:
        known = layer.kind in ("rwkv5", "rwkv6", "rwkv7")
        require(known, "norm_eps", "must be left out: it is an option of RWKV alone", f"{eps} for {layer.kind}")
        head: Any = layer.options["head_dim"]
        # That of RWKV-7 is for each channel of a head.
        own = eps / head if layer.kind == "rwkv7" else eps
        layers.append(replace(layer, options={**layer.options, "norm_eps": own}))
    return replace(config, layers=tuple(layers))


def _checkpoint_config(config: Mapping[str, object], stored: Mapping[str, StoredTensor]) -> CheckpointConfig:
    """Return a config.json with the names and shapes of the tensors beside it."""
    return CheckpointConfig(config, frozenset(stored), shapes={name: entry.shape for name, entry in stored.items()})


def own_config(config: Mapping[str, object], stored: Mapping[str, object]) -> LanguageConfig:
    """Return the config of a model of ours; its layers must be those that have tensors."""
    built = LanguageConfig.from_json(config.get("config") or {})
    # An embedding of events has layers of its own.
    names = frozenset(name for name in stored if not name.startswith("embeddings."))
    count = 1 + max(layer_numbers(names), default=-1)
    rule = f"must be {count}, the layers that have tensors"
    require(len(built.layers) == count, "config.layers", rule, len(built.layers))
    return built


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
OPERATORS = {"add", "div", "mul", "neg", "pow", "radd", "rmul", "rsub", "sub", "truediv"}
ELEMENTWISE = OPERATORS | {"clamp", "exp", "expm1", "log"}
DRAWS = {"normal_", "uniform_"}


class WithoutDraws(TorchFunctionMode):
    """A mode that computes no first weights, for tensors without memory.

    What an operation on such tensors would return is asked of torch's compiler, whose import takes 80 MB and 2 s.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if getattr(func, "__module__", "") == nn.init.__name__ or name in DRAWS:
            return args[0] if args else (kwargs or {})["tensor"]
        if name.strip("_") in ELEMENTWISE:
            tensors = [arg for arg in args if isinstance(arg, Tensor)]
            if all(tensor.is_meta for tensor in tensors):
                # `torch.broadcast_shapes` would import sympy.
                shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
                # Of no elements, the function itself says what type of numbers it returns.
                none = [_without_elements(arg) for arg in args]
                return torch.empty(shape, dtype=func(*none, **(kwargs or {})).dtype, device="meta")
        return func(*args, **(kwargs or {}))


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


def read_config(folder: Path) -> Mapping[str, object]:
    """Read config.json of a folder.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not a JSON object.
    """
    path = folder / "config.json"
    if folder.is_file():
        seen, step = _kind_of(folder)
        raise NeurosimMissingError(
            f"{folder}: must be a folder with config.json, or a .gguf or .pth file (got {seen}); {step}"
        )
    if not folder.exists():
        raise NeurosimMissingError(
            f"{folder}: no such file or folder; give the folder of a checkpoint, a .gguf or .pth file, or owner/name "
            "on the hub"
        )
    if not path.is_file():
        seen, step = _seen_in(folder)
        raise NeurosimMissingError(f"{path}: no such file (the folder has {seen}); {step}")
    config = read_json(path)
    if not isinstance(config, dict):
        raise NeurosimFormatError(f"{path}: must be a JSON object (got {type(config).__name__})")
    return config


def _kind_of(path: Path) -> tuple[str, str]:
    """Return what a file is by its first bytes, for an error, and the next step."""
    with open(path, "rb") as file:
        first = file.read(9)
    for start, seen, step in KINDS_BY_BYTES:
        if first.startswith(start):
            return seen, step
    # Eight bytes of length, then JSON.
    if first[8:] == b"{":
        return "a safetensors file", "give the folder that has it and its config.json"
    return f"a file that begins with {first[:4]!r}", "convert it to safetensors or GGUF"


def _seen_in(folder: Path) -> tuple[str, str]:
    """Return what a folder without a config.json has, for an error, and the next step."""
    names = sorted(path.name for path in folder.iterdir())
    models = [name for name in names if name.endswith(SINGLE_FILES)]
    if models:
        step = f"give the file {folder / models[0]}"
    else:
        step = "give the folder of a checkpoint"
    return _listed(names) or "no files", step


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
            lines.append(f"missing {_listed(missing)}")
        if extra:
            lines.append(f"unexpected {_listed(extra)}")
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


def _listed(names: Sequence[str]) -> str:
    """Return the first five names, and the number of the others."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"'{name}'" for name in names[:5]) + more
