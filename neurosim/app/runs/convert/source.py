"""The model and the text of a conversion: paths, run folders, names on the hub, and built-in or own texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from ....base.errors import NeurosimInputError, require
from ....base.heap import trim_heap
from ....language.attention.checkpoint import read_model
from ....language.attention.hub import is_hub_name, resolve_model
from ....language.attention.model import LanguageModel
from ....language.attention.text import python_text
from ....language.attention.tokenizer import TokenIds, Tokenizer, read_tokenizer, read_tokens, tokenize
from ....language.attention.train import split_tokens
from ....language.conversion.checkpoint import SPIKING, is_converted, read_converted
from .config import CalibrationSettings, Text
from .result import ModelFacts

MODEL = "model"  # folder of the model in a run
BUILT_IN = "Python's topics"


class HasText(Protocol):
    """Settings of a text, and of the part of it that thresholds come from."""

    @property
    def text(self) -> Text: ...

    @property
    def calibration(self) -> CalibrationSettings: ...


@dataclass(frozen=True, eq=False)
class ConversionSource:
    """A dense model, and the text for its conversion.

    Attributes:
        path: of the model's folder.
        model: the dense model.
        text: name of the text.
        tokenizer: of the model.
        learn, held_out: [n] tokens before and behind the border.
    """

    path: Path
    model: LanguageModel
    text: str
    tokenizer: Tokenizer
    learn: Tensor
    held_out: Tensor

    def facts(self) -> ModelFacts:
        """Return a description of the model and the text."""
        length = None
        # Ids without a tokenizer spell no text, and a loss a byte would be of their digits.
        if not isinstance(self.tokenizer, TokenIds):
            length = len(self.tokenizer.decode(self.held_out.tolist())) / len(self.held_out)
        return ModelFacts(
            model=str(self.path),
            network=self.path.resolve().name.partition("@")[0],
            layer_kinds=tuple(layer.kind for layer in self.model.config.layers),
            width=self.model.config.width,
            parameters=self.model.parameter_count(),
            text=self.text,
            unit=self.tokenizer.unit,
            bytes_per_token=length,
        )


def load(path: Path, config: HasText, device: str = "cpu", norm_eps: float | None = None) -> ConversionSource:
    """Return the dense model of a folder, on a device, and the text to convert it with.

    Raises:
        NeurosimInputError: a model that is converted already, or a text that is too short or not of its words.
        NeurosimMissingError, NeurosimFormatError: the model or the text cannot be read.
    """
    folder = model_folder(path)
    if is_converted(folder):
        raise NeurosimInputError(f"{folder}: is converted already ({SPIKING}); give the dense model it was made from")
    model = text_model(folder, norm_eps).to(device)
    vocabulary = model.config.vocabulary
    file = config.text.file
    tokenizer = read_tokenizer(folder, vocabulary)
    if file is None and isinstance(tokenizer, TokenIds):
        raise NeurosimInputError(
            f"{folder}: has {vocabulary} words and no tokenizer.json or tokenizer.model; add its tokenizer, or give "
            "token ids (--calibrate FILE.npy)"
        )
    name = BUILT_IN if file is None else file
    if file is None:
        tokens = tokenize(tokenizer, python_text(), vocabulary, name)
    else:
        tokens = read_tokens(file, tokenizer, vocabulary)
    # Both sides of the border must hold a window of calibration, and the token after it.
    minimum = round((config.calibration.length + 2) / min(config.text.held_out, 1 - config.text.held_out))
    rule = f"must have at least {minimum} {tokenizer.unit}s"
    require(len(tokens) >= minimum, f"text {file or ''}".strip(), rule, len(tokens))
    # Tokenizers leave 30 MB behind.
    trim_heap()
    return ConversionSource(Path(path), model, name, tokenizer, *split_tokens(tokens, config.text.held_out))


def text_model(folder: Path, norm_eps: float | None = None) -> LanguageModel:
    """Return the dense model of a folder.

    Args:
        norm_eps: as `read_model`.

    Raises:
        NeurosimInputError: it reads events.
        NeurosimMissingError, NeurosimFormatError: it cannot be read.
    """
    model = read_model(folder, norm_eps)
    rule = "must read text; 'neurosim train' converts one that reads events"
    require(model.config.events is None, f"{folder}: model", rule, "events")
    return model


def pinned_model(path: Path, say: Callable[[str], None]) -> Path:
    """Return a path from the root, or a name on the hub with the commit of its files: from the cache, or fetched.

    Raises:
        NeurosimMissingError: a name that is no path, and of no model that can be fetched.
    """
    if path.exists():
        return path.absolute()
    if not is_hub_name(str(path)):
        return path
    resolved = resolve_model(str(path), say)
    say(f"{resolved.name} at commit {resolved.commit}")
    return Path(resolved.pinned)


def model_folder(path: Path) -> Path:
    """Return the folder with `config.json`: the path itself, `model` in a run folder, or the folder of a hub's name.

    A model that is one file is its own path.
    """
    if not path.exists() and is_hub_name(str(path)):
        return resolve_model(str(path)).path
    inner = Path(path) / MODEL
    if (inner / "config.json").is_file() and not (Path(path) / "config.json").is_file():
        return inner
    return Path(path)


def open_model(path: Path) -> tuple[Path, LanguageModel]:
    """Return the folder of a model, which has its tokenizer, and the model, converted or dense.

    Raises:
        NeurosimError: nothing that can be read is there.
    """
    folder = model_folder(path)
    return folder, read_converted(folder).model if is_converted(folder) else text_model(folder)
