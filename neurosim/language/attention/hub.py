"""Models by their names on the Hugging Face hub: from its cache on this machine, or fetched into it.

A name is `owner/name`, `owner/name@revision` or, for a repository of GGUF files, `owner/name:Q4_K_M`, where the part
behind the colon is in the name of one file. Configs, weights and tokenizers are fetched; code and pickles are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...base.distribution import install
from ...base.errors import NeurosimInputError, NeurosimMissingError
from .gguf.file import SUFFIX, part_names

_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_NAME = re.compile(rf"({_PART}/{_PART})(?::([A-Za-z0-9._-]+))?(?:@([A-Za-z0-9._/-]+))?")
# Files of a folder: config, weights, tokenizer.
PATTERNS: tuple[str, ...] = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "rwkv_vocab_*.txt")


@dataclass(frozen=True)
class HubModel:
    """A model of the hub on this machine.

    Attributes:
        path: its folder, or its GGUF file.
        name: `owner/name`, with the part of a file's name if one was named.
        commit: revision of the repository, which names the content of every file in it.
    """

    path: Path
    name: str
    commit: str

    @property
    def pinned(self) -> str:
        """The name that gives the same files again."""
        return f"{self.name}@{self.commit}"


def is_hub_name(name: str) -> bool:
    """Return whether a word has the form of a name on the hub."""
    return _NAME.fullmatch(name) is not None


def resolve_model(name: str, on_message: Callable[[str], None] = lambda line: None) -> HubModel:
    """Return a model of the hub: from the cache if it is complete there, else fetched.

    Args:
        name: a name for which `is_hub_name` holds; without a revision the branch `main` is meant.
        on_message: called before something is fetched.

    Raises:
        NeurosimMissingError: huggingface_hub is not installed; the model is not in the cache, and the hub cannot be
            reached or does not have it, or it has no config and safetensors.
        NeurosimInputError: several GGUF files fit, or none.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise NeurosimInputError(f"{name}: must be owner/name, owner/name@revision or owner/name:file")
    repository, part, revision = match.groups()
    if part is None:
        patterns = PATTERNS
    else:
        stem = part.removesuffix(SUFFIX)
        patterns = tuple(f"*{form}*{SUFFIX}" for form in (stem, stem.upper(), stem.lower()))
    with _library(name) as library:
        folder = _cached(library, repository, revision, patterns)
        if folder is None or not _is_complete(folder, part):
            on_message(f"fetching {name} from the hub")
            folder = Path(_snapshot(library, repository, revision, patterns))
    whole = repository if part is None else f"{repository}:{part}"
    return HubModel(_file_of(folder, part, name), whole, folder.name)


def _cached(library: Any, repository: str, revision: str | None, patterns: tuple[str, ...]) -> Path | None:
    """Return the folder of a revision in the cache, None where it has none."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(_snapshot(library, repository, revision, patterns, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _snapshot(library: Any, repository: str, revision: str | None, patterns: tuple[str, ...], **more: Any) -> str:
    return str(library.snapshot_download(repository, revision=revision, allow_patterns=list(patterns), **more))


@contextmanager
def _library(name: str) -> Iterator[Any]:
    """Yield huggingface_hub; its errors become ours."""
    try:
        import huggingface_hub as library
        from huggingface_hub import constants, errors
    except ImportError as error:
        raise NeurosimMissingError(
            f"{name}: no such file or folder; as a name on the hub it needs huggingface_hub ({error}); "
            f"run: {install('hub')}"
        ) from None
    try:
        yield library
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split()).split(". ")[0][:160]  # what it advises next is of its own options
        raise NeurosimMissingError(
            f"{name}: no such file or folder, and as a name on the hub neither in the cache "
            f"({constants.HF_HUB_CACHE}) nor fetched ({type(error).__name__}: {reason}); check name and network"
        ) from None


def _is_complete(folder: Path, part: str | None) -> bool:
    """Return whether a folder of the cache has all files of a model: others may have fetched some."""
    if part is not None:
        fitting = _fitting(folder, part)
        return len(fitting) == 1 and all(fitting[0].with_name(name).is_file() for name in part_names(fitting[0].name))
    index = folder / "model.safetensors.index.json"
    if not (folder / "config.json").is_file():
        return False
    if not index.is_file():
        return (folder / "model.safetensors").is_file()
    try:
        files = set(json.loads(index.read_text())["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # cut short
    return all((folder / str(file)).is_file() for file in files)


def _fitting(folder: Path, part: str) -> list[Path]:
    """Return the GGUF files with a part in their names; the first of several that hold one model."""
    files = sorted(folder.rglob(f"*{SUFFIX}"))
    return [file for file in files if part.lower() in file.name.lower() and file.name == part_names(file.name)[0]]


def _file_of(folder: Path, part: str | None, name: str) -> Path:
    """Return the GGUF file with a part in its name, or the folder without such."""
    if part is None:
        if not _is_complete(folder, None):
            seen = ", ".join(sorted(file.name for file in folder.iterdir())[:6]) or "nothing"
            raise NeurosimMissingError(
                f"{name}: must have config.json and its weights as safetensors (got {seen} in {folder}); "
                f"name a GGUF file as {name}:Q4_K_M, or look for missing files on the hub"
            )
        return folder
    files = _fitting(folder, part)
    if len(files) != 1:
        listed = ", ".join(file.name for file in files[:6]) or "none"
        raise NeurosimInputError(f"{name}: must name one GGUF file (got {listed}); name more of it behind the colon")
    return files[0]
