"""Training a byte-level language model: AdamW or Muon on random windows of a text, with a held-out end."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import check_fields, lookup, require
from .checkpoint import write_model
from .kinds.softmax import CachedAttention
from .model import LanguageConfig, LanguageModel, MixerSpec
from .optimizers import OPTIMIZERS, optimizers_of


def small() -> LanguageConfig:
    """Config of a byte model of 1.1 M parameters that learns quickly on a CPU: four gated delta rules of two heads."""
    layer = MixerSpec("gated_deltanet", {"num_heads": 2, "head_dim": 64, "head_v_dim": 64})
    return LanguageConfig((layer,) * 4, width=144, hidden=384)


@dataclass(frozen=True)
class LanguageTraining:
    """Settings of `train_bytes`.

    Attributes:
        steps: number of updates.
        batch, length: windows of an update, and bytes of each.
        learning_rate: highest; reached after `warmup` updates, then it follows a half cosine down to a tenth.
        decay: weight decay of matrices; vectors have none.
        clip: largest norm of the gradient.
        optimizer: a name of `OPTIMIZERS`; 'muon' is for the matrices of the layers, with AdamW for all else.
        held_out: part of the text, at its end, that is only for validation.
        every: updates between validations; 0 for one at the end.
        seed: key of first weights and windows.
    """

    steps: int = 1000
    batch: int = 16
    length: int = 128
    learning_rate: float = 4e-3
    warmup: int = 50
    decay: float = 0.1
    clip: float = 1.0
    optimizer: str = "adamw"
    held_out: float = 0.1
    every: int = 250
    seed: int = 0

    def check(self, size: int) -> None:
        """Raises:
        NeurosimInputError: a value breaks its rule for a text of `size` bytes.
        """
        check_fields(self, {"steps batch length warmup": "> 0", "learning_rate": "finite and > 0", "every": ">= 0"})
        check_fields(self, {"held_out": "> 0 and < 1"})
        lookup(OPTIMIZERS, self.optimizer, "LanguageTraining.optimizer")
        needed = math.ceil((self.length + 2) / min(self.held_out, 1 - self.held_out))
        require(size >= needed, "text", f"must have at least {needed} bytes for windows of {self.length}", size)


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a training after `step` of `steps` updates: recent training loss and validation loss, nats a byte."""

    step: int
    steps: int
    loss: float
    validation: float | None


def split(text: bytes, held_out: float) -> tuple[Tensor, Tensor]:
    """Return (training part, validation part) as int64 tokens; the latter is the last `held_out` of the text."""
    return split_tokens(torch.frombuffer(bytearray(text), dtype=torch.uint8).long(), held_out)


def split_tokens(tokens: Tensor, held_out: float) -> tuple[Tensor, Tensor]:
    """Return (training part, validation part) of tokens [n]; the latter is the last `held_out` of them."""
    border = len(tokens) - int(len(tokens) * held_out)
    return tokens[:border], tokens[border:]


def train_bytes(
    text: bytes,
    config: LanguageConfig | None = None,
    training: LanguageTraining | None = None,
    on_progress: Callable[[TrainingProgress], None] | None = None,
    folder: str | os.PathLike[str] | None = None,
    device: str = "cpu",
) -> tuple[LanguageModel, float]:
    """Return (trained model, its validation loss in nats a byte) from a text.

    Windows are a function of seed and step alone: the number of validations does not change the training.

    Args:
        config: default `small()`; its vocabulary must be 256.
        on_progress: called after every validation, and every 10 updates between them.
        folder: the model is written there (`write_model`) after every validation.

    Raises:
        NeurosimInputError: a setting breaks its rule, or the text is too short.
    """
    config, training = config or small(), training or LanguageTraining()
    training.check(len(text))
    require(config.vocabulary == 256, "LanguageConfig.vocabulary", "must be 256 for bytes", config.vocabulary)
    model = LanguageModel(config, training.seed).to(device)
    learn, held = (part.to(device) for part in split(text, training.held_out))
    optimizers = optimizers_of(training.optimizer, model, training.learning_rate, training.decay)
    recent, loss = 0.0, math.inf
    for step in range(training.steps):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = _learning_rate(training, step)
        windows = draw_windows(learn, training.batch, training.length, (training.seed << 32) + step)
        now = _update(model, optimizers, windows, training.clip)
        recent = now if step == 0 else 0.95 * recent + 0.05 * now
        last = step + 1 == training.steps
        due = last or (training.every and (step + 1) % training.every == 0)
        if due:
            loss = validation_loss(model, held, training.length)
            if folder is not None:
                write_model(folder, model)
        if on_progress is not None and (due or (step + 1) % 10 == 0):
            on_progress(TrainingProgress(step + 1, training.steps, recent, loss if due else None))
    return model, loss


@torch.no_grad()
def validation_loss(model: LanguageModel, tokens: Tensor, length: int = 128, batch: int = 64) -> float:
    """Return the mean nats a byte over tokens [n], read by `stream_windows` with their state.

    Each of the `batch` streams is read from its start: context is short in the first windows only. Attention over all
    tokens has learnt no distance beyond a window: with it, every window begins without context.
    """
    total, count, state, bounded = 0.0, 0, None, not sees_all_tokens(model)
    for inputs, targets in stream_windows(tokens, length, batch):
        logits, after = model(inputs, state)
        state = after if bounded else None
        total += float(F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
        count += targets.numel()
    return total / count


def sees_all_tokens(model: LanguageModel) -> bool:
    """Return whether a layer is attention over all earlier tokens, at any distance."""
    return any(isinstance(mixer, CachedAttention) and not mixer.window_size for mixer in model.mixers())


def stream_windows(tokens: Tensor, length: int, streams: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield windows [streams, up to length] of tokens [n] and the tokens after each, one behind the other.

    The tokens are cut into so many equal streams, or fewer where they would be shorter than a window.
    """
    streams = max(min(streams, (len(tokens) - 1) // length), 1)
    span = (len(tokens) - 1) // streams
    both = [tokens[first : first + span * streams].view(streams, span).split(length, 1) for first in (0, 1)]
    yield from zip(*both, strict=True)


def draw_windows(tokens: Tensor, count: int, length: int, seed: int = 0) -> Tensor:
    """Draw [count, length + 1] windows from anywhere in tokens [n]."""
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(tokens) - length, (count,), generator=generator).to(tokens.device)
    return tokens[starts[:, None] + torch.arange(length + 1, device=tokens.device)]


def _update(model: LanguageModel, optimizers: Sequence[torch.optim.Optimizer], windows: Tensor, clip: float) -> float:
    logits, _ = model(windows[:, :-1])
    loss = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    model.zero_grad(set_to_none=True)
    (loss + model.auxiliary_loss()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    for optimizer in optimizers:
        optimizer.step()
    return float(loss.detach())


def _learning_rate(training: LanguageTraining, step: int) -> float:
    if step < training.warmup:
        return training.learning_rate * (step + 1) / training.warmup
    done = (step - training.warmup) / max(training.steps - training.warmup, 1)
    return training.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))
