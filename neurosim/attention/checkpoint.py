"""Models in folders: config.json and model.safetensors, our own and those that flash-linear-attention writes."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import NeurosimFormatError, NeurosimMissingError, lookup, require
from ..files import read_json, replacing
from .huggingface import READERS, CheckpointConfig, CheckpointReader
from .model import LanguageConfig, LanguageModel
from .tensors import read_tensors, save_tensors

OWN = "neurosim"
FORMAT = 1


def write_model(folder: str | os.PathLike[str], model: LanguageModel) -> None:
    """Write a model as `config.json` and `model.safetensors`.

    Raises:
        NeurosimWriteError: the disk refuses; both files are as they were, or not there.
    """
    folder = Path(folder)
    about = {"model_type": OWN, "format": FORMAT, "config": model.config.to_json()}
    # Both are whole on disk before either takes its place.
    with replacing(folder / "config.json") as config, replacing(folder / "model.safetensors") as weights:
        config.write_text(json.dumps(about, indent=2, allow_nan=False) + "\n")
        save_tensors(weights, stored_tensors(model))


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a model by name; one with several names under the first."""
    tensors: dict[int, tuple[str, Tensor]] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        tensors.setdefault(id(value), (name, value))
    return dict(tensors.values())


def read_model(folder: str | os.PathLike[str]) -> LanguageModel:
    """Return the model of a folder that `write_model` wrote, or of a Hugging Face folder of a type in `READERS`.

    Weights may be float32, float16, bfloat16 or float64, in one file or several with an index; they become float32.

    Raises:
        NeurosimMissingError: no such folder or file.
        NeurosimInputError: an unknown model type, or an option of it that is not supported: names it.
        NeurosimFormatError: a damaged file; tensors missing, left over or of another shape: names them.
    """
    folder = Path(folder)
    config = read_config(folder)
    kind = str(config.get("model_type"))
    tensors = read_tensors(folder)
    shown: Callable[[str], str] = str
    if kind == OWN:
        found = config.get("format")
        require(found == FORMAT, f"{folder}: format", f"must be {FORMAT}: upgrade neurosim", found)
        built = LanguageConfig.from_json(config.get("config") or {})
    else:
        reader = lookup(READERS, kind, f"{folder / 'config.json'}: model_type")
        built = reader.config(CheckpointConfig(config, frozenset(tensors)))
        tensors, shown = _renamed(reader, tensors)
    with torch.device("meta"):
        # Shapes alone: a config.json with too large sizes must not take that memory.
        match_tensors(LanguageModel(built), tensors, str(folder), shown=shown)
    model = LanguageModel(built)
    fit_tensors(model, tensors, str(folder))
    return model.eval()


def _renamed(reader: CheckpointReader, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Callable[[str], str]]:
    """Return (tensors by our names, a function from one of our names to that in the file)."""
    names = {reader.ours(name): name for name in tensors}
    return {ours: tensors[name] for ours, name in names.items()}, lambda ours: names.get(ours) or reader.theirs(ours)


def read_config(folder: Path) -> Mapping[str, object]:
    """Read config.json of a folder.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not a JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise NeurosimMissingError(f"{path}: no such file; give the folder of a checkpoint")
    config = read_json(path)
    if not isinstance(config, dict):
        raise NeurosimFormatError(f"{path}: must be a JSON object (got {type(config).__name__})")
    return config


def fit_tensors(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors into a module; arguments and errors are those of `match_tensors`."""
    module.load_state_dict(match_tensors(module, tensors, where), strict=False)


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
    wanted = module.state_dict(keep_vars=True)
    given = _once(wanted, dict(tensors))
    missing = sorted(shown(name) for name in set(wanted) - set(given))
    extra = sorted(shown(name) for name in set(given) - set(wanted))
    if missing or extra:
        lines = [f"missing {_listed(missing)}"] * bool(missing) + [f"unexpected {_listed(extra)}"] * bool(extra)
        near = difflib.get_close_matches(missing[0], extra, n=1) if missing and extra else []
        hint = f" (is '{near[0]}' meant to be '{missing[0]}'?)" if near else ""
        raise NeurosimFormatError(f"{where}: tensors do not fit config.json: {'; '.join(lines)}{hint}")
    for name, value in wanted.items():
        if given[name].shape != value.shape:
            raise NeurosimFormatError(
                f"{where}: tensor '{shown(name)}' must be {list(value.shape)} (got {list(given[name].shape)}); "
                "config.json and weights are not of one model"
            )
    return given


def _once(wanted: Mapping[str, Tensor], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `given` with tensors of several names under all of them: files store them once."""
    first: dict[int, str] = {}
    for name, value in wanted.items():
        if name in given:
            first.setdefault(id(value), name)
    return given | {name: given[first[id(value)]] for name, value in wanted.items() if id(value) in first}


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(f"'{name}'" for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
