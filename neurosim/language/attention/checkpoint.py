"""Models in folders: config.json and model.safetensors, our own and of other libraries."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...base.atomic import replacing
from ...base.errors import (
    CheckpointWarning,
    NeurosimFormatError,
    NeurosimInputError,
    NeurosimMissingError,
    require,
)
from ...base.json_toml import read_json
from .gguf.families import reader_of_gguf, tensors_of
from .gguf.file import SUFFIX, read_gguf
from .huggingface import reader_of
from .huggingface.config import CheckpointConfig, layer_numbers
from .huggingface.reader import CheckpointReader
from .huggingface.rwkv import PTH
from .loading import listed, load_model, stored_tensors
from .model import LanguageConfig, LanguageModel
from .pth import read_pth
from .tensors import (
    DeferredTensor,
    MappedFiles,
    StoredTensor,
    read_headers,
    read_metadata,
    save_tensors,
)

OWN = "neurosim"
FORMAT = 1
SINGLE_FILES = (".pth", SUFFIX)  # models that are one file, without a config.json
# In names of tensors that peft writes; kinds of ours and of fla have low-rank parts of other names.
ADAPTER_PARTS = (".lora_A.", ".lora_B.", ".lora_embedding_", ".lora_magnitude_", ".base_layer.")
# First bytes of files of models that are not read, or not under their name: what they are, and the next step.
KINDS_BY_BYTES = (
    (b"GGUF", "a GGUF file", f"rename it to end in {SUFFIX}"),
    (
        b"PK\x03\x04",
        "a zip archive, as torch.save writes",
        "convert a language model to safetensors; of RWKV, rename it to end in .pth; bring a spiking network as a "
        "graph of NIR (neurosim.network.from_nir)",
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
    _refuse_adapter(folder)
    config = read_about(folder)
    if not isinstance(kind := config.get("model_type"), str):
        raise NeurosimInputError(
            f"{folder / 'config.json'}: model_type: must name the kind of model (got {kind!r:.40}); fetch the "
            "checkpoint's own config.json"
        )
    stored = read_headers(folder)
    _refuse_unmerged(folder, stored)
    where = f"{folder / 'config.json'}"
    # Our own folders need no names changed, and are read with the bits that they were saved with.
    if kind == OWN:
        version = config.get("format")
        require(version == FORMAT, f"{folder}: format", f"must be {FORMAT}: upgrade neurosim", version)
        reader = CheckpointReader(LanguageConfig.from_json, root="", block={})
        built = own_config(config, stored)
    else:
        reader = reader_of(str(kind), _checkpoint_config(config, stored), f"{where}: model_type")
        stored = {_unwrapped(name, stored): entry for name, entry in stored.items() if reader.takes(name)}
        source = _checkpoint_config(config, stored)
        built = reader.config(source)
        source.warn(where)
        built = _with_own_head(built, stored, reader, where)
    built = _with_norm_eps(built, norm_eps)
    return load_model(built, stored, reader, str(folder), aligned=kind == OWN).eval()


def _refuse_adapter(folder: Path) -> None:
    """Raise `NeurosimInputError` for a folder with weights that belong on top of a model's, as of LoRA."""
    if (folder / "adapter_config.json").is_file():
        raise _adapter_error(f"{folder}: adapter_config.json")


def _refuse_unmerged(folder: Path, stored: Collection[str]) -> None:
    """Raise `NeurosimInputError` for tensors of a model that was saved with the adapters of peft."""
    parts = [name for name in stored if any(part in name for part in ADAPTER_PARTS)]
    if parts:
        raise _adapter_error(f"{folder}: '{min(parts)}'")


def _adapter_error(what: str) -> NeurosimInputError:
    return NeurosimInputError(
        f"{what}: adapters are not read, with their model or alone; merge them: "
        "merge_and_unload() of peft, then save_pretrained(FOLDER)"
    )


def _with_own_head(
    config: LanguageConfig, stored: Mapping[str, StoredTensor], reader: CheckpointReader, where: str
) -> LanguageConfig:
    """Return a config with a head of its own where it says tied and the file has another head, as transformers 5 does.

    Warns of it with a `CheckpointWarning`.
    """
    ours = {reader.ours(name): entry for name, entry in stored.items()}
    head = ours.get("lm_head.weight")
    words = ours.get("embeddings.weight")
    if not config.tied or head is None or words is None or head.shape != words.shape:
        return config
    files = MappedFiles()
    values = files.load(words)
    if torch.equal(files.load(head).to(values.dtype), values):
        return config
    warnings.warn(
        f"{where}: tie_word_embeddings is true, but '{head.name}' is not the embedding: it is taken as it is; set "
        "tie_word_embeddings to false, or remove it from the file",
        CheckpointWarning,
        stacklevel=3,
    )
    return replace(config, tied=False)


def _unwrapped(name: str, stored: Collection[str]) -> str:
    """Return the name of a tensor without what torch.compile, parallel training and peft put in front of all names."""
    for prefix in ("module.", "_orig_mod.", "base_model.model."):
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
    return listed(names) or "no files", step
