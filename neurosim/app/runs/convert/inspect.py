"""`neurosim convert inspect MODEL`: the layers of a model, and what it prints of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ....base.errors import require
from ....base.plain import Record
from ....language.attention.model import LanguageModel
from ....language.attention.text import python_text
from ....language.attention.tokenizer import TokenIds, read_tokenizer, read_tokens, tokenize
from ....language.conversion.checkpoint import is_converted, read_converted
from ....language.conversion.inspection import LayerInspection, inspect_layers
from ....language.conversion.model import Converted
from ..frame.options import DEFAULTS, RunOptions
from ..frame.tables import grid, quantity
from ..frame.timings import limit_threads
from .source import BUILT_IN, model_folder, pinned_model, text_model


@dataclass(frozen=True, kw_only=True)
class InspectionResult(Record):
    """The layers of a model.

    Attributes:
        model: path of its folder.
        spiking: whether it is converted.
        text, tokens: that it read: name, and number of tokens.
        layers: bottom to top.
    """

    model: str
    spiking: bool
    text: str
    tokens: int
    layers: tuple[LayerInspection, ...]


def inspect_model(path: Path, text: str | None, tokens: int, options: RunOptions = DEFAULTS) -> InspectionResult:
    """Let the model of a folder, dense or converted, read the beginning of a text, and return what its layers hold.

    Args:
        text: a file; None for the prose that ships with Python, or, for a model without a tokenizer, drawn token ids.

    Raises:
        NeurosimError: what is wrong with the model or the text.
    """
    path = pinned_model(path, options.say)
    folder = model_folder(path)
    model: LanguageModel | Converted = read_converted(folder) if is_converted(folder) else text_model(folder)
    config = (model.model if isinstance(model, Converted) else model).config
    tokenizer = read_tokenizer(folder, config.vocabulary)
    name = text or BUILT_IN
    if text is not None:
        read = read_tokens(text, tokenizer, config.vocabulary)
    elif isinstance(tokenizer, TokenIds):
        name = "token ids drawn at random"
        read = torch.randint(config.vocabulary, (tokens,), generator=torch.Generator().manual_seed(0))
    else:
        # A token has a few bytes on average: 64 for each are enough, and not all of the prose is tokenised.
        read = tokenize(tokenizer, python_text()[: 64 * tokens], config.vocabulary, name)
    read = read[:tokens]
    require(len(read) > 0, f"text {name}", f"must have at least one {tokenizer.unit}", len(read))
    with limit_threads(options.threads):
        layers = inspect_layers(model, read)
    return InspectionResult(
        model=str(path), spiking=isinstance(model, Converted), text=name, tokens=len(read), layers=tuple(layers)
    )


def render(result: InspectionResult) -> str:
    """Return the layers as a table."""
    heads = ("layer", "kind", "modulus of eigenvalues", "negative", "horizon", "longest", "state", "spikes a channel")
    rows = [_row(layer) for layer in result.layers]
    about = (
        f"{result.model}, {'in spikes' if result.spiking else 'dense'}, {result.tokens:,} tokens of {result.text}: "
        "eigenvalues of h = Lambda h + B u, lowest, median, highest; horizon 1 / (1 - modulus) in tokens"
    )
    reasons = dict.fromkeys(layer.reason for layer in result.layers if layer.reason)
    rounds = [
        f"  {layer.name}: {layer.rounds} rounds of Newton's method over the text, residual {layer.residual:.1e}"
        for layer in result.layers
        if layer.rounds is not None
    ]
    return "\n".join([about, grid(heads, rows), *rounds, *(f"  {reason}" for reason in reasons)])


def _row(layer: LayerInspection) -> tuple[str, ...]:
    spectrum = layer.spectrum
    cells = ("-",) * 4
    if spectrum is not None:
        sizes = f"{spectrum.lowest:.4f} {spectrum.median:.4f} {spectrum.highest:.4f}"
        cells = (sizes, f"{spectrum.negative:.1%}", _tokens(spectrum.horizon), _tokens(spectrum.longest))
    if layer.spikes is None:
        spikes = "-"
    else:
        spikes = f"{layer.spikes:.3f}"
    return layer.name, layer.kind, *cells, quantity(layer.state_bytes, "B"), spikes


def _tokens(horizon: float | None) -> str:
    return "no end" if horizon is None else f"{horizon:,.1f}"
