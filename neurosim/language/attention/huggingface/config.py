"""A config.json, entry by entry: every value is checked as it is read, and entries that were not read are reported."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ....base.errors import CheckpointWarning, NeurosimInputError
from ....base.errors import require as require_value

Options = dict[str, object]

MAX_INTEGER = 2**40  # of a size or number of tokens
# Entries that change no logits of a text read from its start: names, training, generation, caches, tokens.
_HARMLESS = """
_name_or_path _attn_implementation _attn_implementation_autoset _commit_hash add_cross_attention architectures
attention_dropout attn_implementation auto_map bad_words_ids begin_suppress_tokens bos_token bos_token_id
cache_implementation chunk_size_feed_forward classifier_dropout cross_attention_hidden_size decoder_start_token_id
diversity_penalty
do_sample dropout dtype early_stopping embd_pdrop encoder_no_repeat_ngram_size end_token_id eos_token eos_token_id
exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id fuse_cross_entropy
fuse_linear_cross_entropy fuse_norm fuse_swiglu hidden_dropout hidden_dropout_prob id2label initializer_factor
initializer_range initializer_scale is_decoder is_encoder_decoder keep_cache label2id language length_penalty
max_length max_position_embeddings min_length model_type mlp_dropout name name_or_path no_repeat_ngram_size
num_beam_groups num_beams num_labels num_return_sequences output_attentions output_hidden_states output_scores
pad_token pad_token_id padding_idx prefix problem_type pruned_heads remove_invalid_values repetition_penalty
resid_pdrop residual_dropout return_dict return_dict_in_generate router_aux_loss_coef sep_token_id suppress_tokens
task_specific_params
temperature tf_legacy_loss tie_encoder_decoder time_step_max time_step_min time_step_floor time_step_init_scheme
tokenizer_class top_k top_p torch_dtype torchscript transformers_version typical_p unk_token unk_token_id use_bfloat16
use_cache use_l2warp use_mambapy version vocab_file
"""
HARMLESS = frozenset(_HARMLESS.split())


def require(condition: bool, name: str, rule: str, got: object) -> None:
    """Raise `NeurosimInputError` unless the entry `name` of config.json keeps its rule."""
    require_value(condition, f"config.json: {name}", rule, f"{got!s:.60}")


@dataclass(frozen=True)
class CheckpointConfig:
    """A config.json, or a table in it, and the names of the tensors beside it.

    Attributes:
        config: its entries.
        names: names of the tensors; empty where the config is read without them.
        prefix: prefix of entries in errors, for a table.
        shapes: shapes of the tensors by name.
        entries_read: names of the entries that were read.
        tables: tables whose entries must be read, too.
    """

    config: Mapping[str, object]
    names: frozenset[str] = frozenset()
    prefix: str = ""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    entries_read: set[str] = field(default_factory=set)
    tables: list[CheckpointConfig] = field(default_factory=list)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an entry, or `default` where it is missing or null; it counts as read."""
        self.entries_read.add(name)
        value = self.config.get(name)
        if value is None:
            return default
        return value

    def with_defaults(self, defaults: Mapping[str, object]) -> CheckpointConfig:
        """Return the config with further entries, where it says nothing; null says something."""
        return replace(self, config={**defaults, **self.config})

    def refuse(self, name: str, rule: str, got: object) -> None:
        """Raise `NeurosimInputError` for the entry `name`."""
        require(False, self.prefix + name, rule, got)

    def integer(self, name: str, default: int | None = None, at_least: int = 1) -> int:
        """Return an integer.

        Raises:
            NeurosimInputError: it is missing, too large or something else.
        """
        value = self.get(name, default)
        # `type(..) is int`: true and false would be integers, too.
        rule = "must be an integer > 0" if at_least == 1 else f"must be an integer >= {at_least}"
        require(type(value) is int and value >= at_least, self.prefix + name, rule, _quoted(value))
        require(value <= MAX_INTEGER, self.prefix + name, f"must be an integer <= {MAX_INTEGER}", value)
        return value

    def number(self, name: str, default: float) -> float:
        """Return a finite number.

        Raises:
            NeurosimInputError: it is something else.
        """
        value = self.get(name, default)
        require(type(value) in (int, float), self.prefix + name, "must be a number", _quoted(value))
        require(abs(value) <= 1e30, self.prefix + name, "must be finite and at most 1e30", value)
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false; 1 and 0 stand for them."""
        value = self.get(name, default)
        require(type(value) is bool or value in (0, 1), self.prefix + name, "must be true or false", value)
        return bool(value)

    def word(self, name: str, default: str) -> str:
        """Return a string."""
        value = self.get(name, default)
        require(isinstance(value, str), self.prefix + name, "must be a string", value)
        return str(value)

    def maybe(self, read: Callable[..., Any], name: str) -> Any:
        """Return `read(name)`, or None where the entry is missing or null."""
        if self.get(name) is None:
            return None
        return read(name)

    def table(self, name: str) -> CheckpointConfig | None:
        """Return a table of entries, None where there is none.

        Raises:
            NeurosimInputError: it is something else.
        """
        value = self.get(name)
        require(value is None or isinstance(value, Mapping), self.prefix + name, "must be a table", value)
        if value is None:
            return None
        return CheckpointConfig(value, self.names, f"{self.prefix}{name}.")

    def nested(self, name: str) -> CheckpointConfig | None:
        """Return a table like `table`, whose entries `unknown` then looks at, too."""
        table = self.table(name)
        if table is not None:
            self.tables.append(table)
        return table

    def options(self, **defaults: object) -> Options:
        """Return the entries of these names, each of the type of its default."""
        read: Mapping[type, Callable[..., object]] = {
            bool: self.flag,
            int: self.integer,
            float: self.number,
            str: self.word,
        }
        return {name: read[type(default)](name, default) for name, default in defaults.items()}

    def layers(self, name: str = "num_hidden_layers") -> int:
        """Return the number of layers, which must agree with the tensors.

        Raises:
            NeurosimInputError: it is not.
        """
        count = self.integer(name)
        if self.names:
            # A config with too many layers would allocate them before a tensor is missed.
            stored = 1 + max(layer_numbers(self.names), default=-1)
            require(count == stored, self.prefix + name, f"must be {stored}, the layers that have tensors", count)
        else:
            require(count <= 10_000, self.prefix + name, "must be at most 10000", count)
        return count

    def has(self, ending: str) -> bool:
        """Return whether the name of any tensor ends with `ending`."""
        return any(name.endswith(ending) for name in self.names)

    def share(self, of: int, name: str, default: float) -> int:
        """Return `of` times a factor of the config, which must be an integer."""
        part = of * self.number(name, default)
        is_size = 0 < part <= MAX_INTEGER and math.isclose(part, round(part))
        require(is_size, self.prefix + name, f"must give an integer part of {of} channels", part)
        return round(part)

    def conv(self, used: bool | None = None) -> Options:
        """Return the options of short convolutions; the config says whether they are `used`, if that is None."""
        if used is None:
            used = self.flag("use_short_conv", self.has("q_conv1d.weight"))
        size = self.integer("conv_size", 4)
        return {"conv_size": size if used else 0, "conv_bias": self.has("conv1d.bias")}

    def gate(self, name: str, default: bool, act: object = "swish") -> Options:
        """Return the activation of the output gate: `act` if the entry `name` is true."""
        return {"gate_fn": act if self.flag(name, default) else None}

    def eps(self, default: float = 1e-6, name: str = "norm_eps") -> float:
        """Return the epsilon of norms."""
        return self.number(name, default)

    def unknown(self) -> list[str]:
        """Return the entries that were not read and may change numbers: not off, not empty, not harmless."""
        # Values of options that are not in use.
        off: tuple[object, ...] = (None, False, 0, "", [], {})
        harmless = self.entries_read | HARMLESS
        unread = [name for name, value in self.config.items() if name not in harmless and value not in off]
        inner = [f"{table.prefix}{name}" for table in self.tables for name in table.unknown()]
        return sorted(unread + inner)

    def warn(self, where: str) -> None:
        """Warn of the entries of `unknown`.

        Raises:
            NeurosimInputError: the weights are quantised.
        """
        if self.config.get("quantization_config"):
            raise NeurosimInputError(
                f"{where}: quantization_config: quantised weights are not read; use the checkpoint in 16 or 32 bits"
            )
        names = self.unknown()
        if names:
            more = ", ..." if len(names) > 8 else ""
            listed = ", ".join(f"'{name}'" for name in names[:8]) + more
            warnings.warn(
                f"{where}: options {listed} are not known to neurosim and are ignored: compare the outputs with those "
                "of the library that wrote the checkpoint",
                CheckpointWarning,
                stacklevel=4,
            )


def layer_numbers(names: frozenset[str]) -> Iterator[int]:
    """Yield the number behind `layers` or `blocks` in each name that has one."""
    for name in names:
        path = name.split(".")
        for part, number in itertools.pairwise(path):
            if part in ("layers", "blocks") and number.isascii() and number.isdigit() and len(number) < 8:
                yield int(number)
                break


def _quoted(value: object) -> object:
    """Return a value for an error: a text in quotes, so that it is no number."""
    return repr(value) if isinstance(value, str) else value
