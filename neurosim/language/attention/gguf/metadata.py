"""Entries of a GGUF file: read by name, checked, and those that nothing reads named in a warning."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

from ....base.errors import CheckpointWarning, NeurosimFormatError
from .file import GgufFile

# Entries that change no logits of a text read from its start; llama.cpp takes ranks and sizes from the tensors, too.
_HARMLESS = """
block_count context_length embedding_length vocab_size feed_forward_length attention.head_count tensor_data_layout
rope.dimension_sections rope.scaling.finetuned rope.scaling.original_context_length time_mix_extra_dim
time_decay_extra_dim attention.decay_lora_rank attention.iclr_lora_rank attention.gate_lora_rank
attention.value_residual_mix_lora_rank
"""
HARMLESS = frozenset(_HARMLESS.split())


@dataclass(eq=False)
class Metadata:
    """The entries of one architecture, checked as they are read.

    Attributes:
        file: the header.
        architecture: first part of the entries' names.
        entries_read: names of the entries that were read, without that part.
    """

    file: GgufFile
    architecture: str
    entries_read: set[str] = field(default_factory=set)

    def get(self, name: str, default: Any = None) -> Any:
        self.entries_read.add(name)
        return self.file.metadata.get(f"{self.architecture}.{name}", default)

    def refuse(self, name: str, rule: str, got: object) -> None:
        """Raise `NeurosimFormatError` for an entry."""
        raise NeurosimFormatError(f"{self.file.path}: metadata '{self.architecture}.{name}' {rule} (got {got!s:.60})")

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer > 0.

        Raises:
            NeurosimFormatError: it is missing, or something else.
        """
        value = self.get(name, default)
        if isinstance(value, list) and len(set(map(str, value))) == 1:
            value = value[0]  # one for each layer
        if type(value) is not int or not 0 < value <= 2**40:
            self.refuse(name, "must be an integer > 0", value)
        return int(value)

    def number(self, name: str, default: float) -> float:
        value = self.get(name, default)
        if type(value) not in (int, float) or not abs(value) <= 1e30:
            self.refuse(name, "must be a finite number", value)
        # Sizes of float32, such as 1e-05: the shortest decimal number that is the same float32.
        return float(f"{value:.7g}")

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            NeurosimFormatError: it is not there, or has another number of axes.
        """
        stored = self.file.tensors.get(name)
        got = None if stored is None else list(stored.shape)
        if got is None or len(got) != axes:
            raise NeurosimFormatError(f"{self.file.path}: tensor '{name}' must be there, with {axes} axes (got {got})")
        return tuple(got)

    def has(self, name: str) -> bool:
        return name in self.file.tensors

    def warn(self) -> None:
        """Warn of entries that were not read and may change numbers."""
        own = f"{self.architecture}."
        names = (name.removeprefix(own) for name in self.file.metadata if name.startswith(own))
        unknown = [name for name in names if name not in self.entries_read | HARMLESS and self.get(name)]
        if unknown:
            listed = ", ".join(f"'{own}{name}'" for name in unknown[:8])
            warnings.warn(
                f"{self.file.path}: entries {listed} are not known to neurosim and are ignored: compare the outputs "
                "with those of llama.cpp",
                CheckpointWarning,
                stacklevel=4,
            )
