"""Linear kinds that take the place of softmax attention, seeded from its projections."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from ....base.errors import NeurosimInputError, require
from ...attention.kinds.linear import GroupedMixer
from ...attention.kinds.mamba import Mamba2
from ...attention.kinds.sea import SEA
from ...attention.kinds.softmax import SoftmaxAttention
from ...attention.kinds.window_linear import WindowLinearAttention
from ...attention.model import LanguageModel, MixerSpec
from ...attention.patterns import parse_pattern

KEEP = "keep"  # in a pattern: the layer stays as it is
UNIT_SILU = 1.2784645  # silu(x) = 1
Options = Mapping[str, object]


@dataclass(frozen=True)
class StudentKind:
    """A kind that can take the place of softmax attention.

    Attributes:
        options: function from a softmax layer and its options to the options of the kind.
        seed: function that starts the layer from the softmax layer; returns the names of the copied parameters.
        kind: name of the kind of attention, where it is not that of the student.
        gain: name of the weight of a norm in which the outputs are linear: they are scaled to the teacher's by it.
    """

    options: Callable[[SoftmaxAttention, Options], dict[str, object]]
    seed: Callable[[SoftmaxAttention, Any], Sequence[str]]
    kind: str = ""
    gain: str = ""


def _whole(teacher: SoftmaxAttention, options: Options) -> dict[str, object]:
    """Return the options of a student that holds the teacher's layer as its window."""
    inner = {name: value for name, value in options.items() if name != "window_size"}
    return {"attention": {**inner, "o_bias": teacher.o_bias}}


def _copy_whole(teacher: SoftmaxAttention, student: WindowLinearAttention) -> Sequence[str]:
    """Copy all parameters into the softmax layer of the student's window."""
    student.softmax.load_state_dict(teacher.state_dict())
    return [f"softmax.{name}" for name in teacher.state_dict()]


def _same(teacher: SoftmaxAttention, options: Options) -> dict[str, object]:
    """Return the options of a student that is the teacher's layer, and more."""
    return {**{name: value for name, value in options.items() if name != "window_size"}, "o_bias": teacher.o_bias}


def _copy_same(teacher: SoftmaxAttention, student: SEA) -> Sequence[str]:
    """Copy all parameters of the teacher; the estimate of its weights and the mix of outputs are new."""
    student.load_state_dict(teacher.state_dict(), strict=False)
    return list(teacher.state_dict())


def _grouped(teacher: SoftmaxAttention, options: Options) -> dict[str, object]:
    """Return the heads and channels of the teacher, as options of kinds with grouped heads."""
    _require_plain(teacher, biases=teacher.qkv_bias or teacher.o_bias)
    inner = teacher.q_proj.out_features
    heads = {"num_heads": teacher.num_heads, "num_kv_heads": teacher.num_kv_heads}
    return {**heads, "key_dim": inner, "value_dim": inner}


def _gated(teacher: SoftmaxAttention, options: Options) -> dict[str, object]:
    """Return the options without output gate: the teacher has none, and a gate without a bias cannot start open."""
    return {**_grouped(teacher, options), "gate_fn": None, "conv_size": 0}


def _mapped(teacher: SoftmaxAttention, options: Options) -> dict[str, object]:
    """Return the options of features of q and k after their rotary positions, as in the scores they replace."""
    rotary_dim = teacher.k_size if teacher.rotary_dim is None else teacher.rotary_dim
    positions = {"rotary_dim": rotary_dim, "rope_theta": teacher.rope_theta, "rope_scaling": teacher.rope_scaling}
    # Outputs are means of values, as the teacher's: a norm of them would hide how much a head has found.
    return {**_grouped(teacher, options), "feature_map": "hedgehog_by_head", "use_output_norm": False, **positions}


def _copy_projections(teacher: SoftmaxAttention, student: GroupedMixer) -> Sequence[str]:
    """Copy the projections of q, k, v and the output."""
    copied = [f"{name}_proj.weight" for name in "qkvo"]
    for name in copied:
        student.get_parameter(name).copy_(teacher.get_parameter(name))
    return copied


def _mamba(teacher: SoftmaxAttention, options: Options) -> dict[str, object]:
    """Return a Mamba-2 layer with the heads of the teacher, each with B and C of its own."""
    _require_plain(teacher)
    head_dim = teacher.k_size
    inner = teacher.q_proj.out_features
    return {
        "expand": inner / teacher.width,
        "head_dim": head_dim,
        "state_size": head_dim,
        "n_groups": teacher.num_heads,
        "use_bias": True,
        "hidden_act": "identity",
    }


def _published_mamba(teacher: SoftmaxAttention, options: Options) -> dict[str, object]:
    """Return the Mamba-2 layer of mmMamba: a convolution over two tokens and silu, each head's norm before the gate."""
    return {**_mamba(teacher, options), "conv_kernel": 2, "hidden_act": "silu", "gate_first": False}


def _copied_heads(rows: Tensor, head_dim: int, copies: int) -> Tensor:
    """Return rows of heads [H head_dim, ..] with each head repeated `copies` times."""
    return rows.unflatten(0, (-1, head_dim)).repeat_interleave(copies, 0).flatten(0, 1)


def _copy_mamba(teacher: SoftmaxAttention, student: Mamba2) -> Sequence[str]:
    """Start with C = q, B = k, x = v, a convolution that passes the token itself, an open gate (mmMamba, 2502.13145).

    dt does not depend on the token at first; decays of the heads are spread over 2 to 128 tokens.
    """
    copied = _copy_mamba_projections(teacher, student)
    # z = 1.278 for every token: silu(z) = 1 leaves the gate open.
    student.in_proj.weight[: student.inner] = 0.0
    student.in_proj.bias[: student.inner] = UNIT_SILU
    spans = torch.logspace(math.log10(2), math.log10(128), student.heads)
    # softplus(dt_bias) = 1 / span with A = -1: a head forgets by e in `span` tokens.
    student.dt_bias.copy_(torch.log(torch.expm1(1 / spans)))
    student.A_log.zero_()
    return copied


def _copy_published_mamba(teacher: SoftmaxAttention, student: Mamba2) -> Sequence[str]:
    """Start as mmMamba's code does: random gates of gain 2^-2.5 (Xavier), A = -e, steps of .001 to .1 as drawn."""
    copied = _copy_mamba_projections(teacher, student)
    gates = student.in_proj.weight[: student.inner]
    # The drawn gates have the deviation of all first weights; the source's have gain sqrt(2 / (inputs + outputs)).
    gates.mul_(2**-2.5 * math.sqrt(2 / sum(gates.shape)) / gates.std())
    student.A_log.fill_(1.0)
    return copied


def _copy_mamba_projections(teacher: SoftmaxAttention, student: Mamba2) -> Sequence[str]:
    """Copy q, k, v and the output; the convolution passes the token itself, dt is the same for all, D = 0.

    The weights of the gate stay as they were drawn, its bias is 0.
    """
    inner = student.inner
    head_dim = teacher.k_size
    weight = student.in_proj.weight
    bias = student.in_proj.bias
    weight[inner:] = 0.0
    bias.zero_()
    for begin, name, copies in ((1, "v", teacher.groups), (2, "k", teacher.groups), (3, "q", 1)):
        layer = getattr(teacher, f"{name}_proj")
        rows = slice(begin * inner, (begin + 1) * inner)
        weight[rows] = _copied_heads(layer.weight, head_dim, copies)
        if layer.bias is not None:
            bias[rows] = _copied_heads(layer.bias, head_dim, copies)
    student.conv1d.weight.zero_()
    # Only the last tap is 1: each token passes, and none before it.
    student.conv1d.weight[:, 0, -1] = 1.0
    if student.conv1d.bias is not None:
        student.conv1d.bias.zero_()
    student.D.zero_()
    student.out_proj.weight.copy_(teacher.o_proj.weight)
    student.out_proj.bias.zero_()
    if teacher.o_proj.bias is not None:
        student.out_proj.bias.copy_(teacher.o_proj.bias)
    return ["out_proj.weight", "out_proj.bias"]


def _require_plain(teacher: SoftmaxAttention, *, biases: bool = False) -> None:
    """Raise if the teacher has parts that the kind lacks."""
    parts = {
        "biases": biases,
        "norms of q and k": teacher.qk_norm or teacher.whole_norm,
        "scale of scores": teacher.score_scale is not None,
        "an output gate": teacher.output_gate,
    }
    lacking = " and ".join(name for name, is_present in parts.items() if is_present)
    if lacking:
        raise NeurosimInputError(
            f"student.pattern: this kind has no place for the {lacking} of the model's attention; choose window_linear"
        )


STUDENTS: Mapping[str, StudentKind] = {
    "gla": StudentKind(_gated, _copy_projections, gain="o_norm.weight"),
    "linear": StudentKind(_mapped, _copy_projections),
    "mamba2": StudentKind(_mamba, _copy_mamba, gain="norm.weight"),
    "mmmamba": StudentKind(_published_mamba, _copy_published_mamba, "mamba2"),
    "sea": StudentKind(_same, _copy_same),
    "window_linear": StudentKind(_whole, _copy_whole),
}


def parse_student_pattern(text: str) -> tuple[str, ...]:
    """Return the kinds of a pattern such as "window_linear*3,keep".

    Raises:
        NeurosimInputError: an unknown kind, or a count that is no integer of at least 1.
    """
    return parse_pattern(text, {**STUDENTS, KEEP: None}, "student.pattern")


@dataclass(frozen=True, eq=False)
class Student:
    """A model some of whose softmax layers are linear.

    Attributes:
        model: the student.
        layers: numbers of the replaced layers.
        seeded: names of the parameters of those layers that are the teacher's.
        gains: weights in which the outputs of a layer are linear, by its number, where it has one.
    """

    model: LanguageModel
    layers: tuple[int, ...]
    seeded: frozenset[str]
    gains: Mapping[int, nn.Parameter]

    def prefixes(self) -> tuple[str, ...]:
        """Return the beginnings of the names of all parameters of the replaced layers."""
        return tuple(f"layers.{i}.mixer." for i in self.layers)

    def new_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters of the replaced layers that the teacher does not have, by name."""
        prefixes = self.prefixes()
        named = self.model.named_parameters()
        return {name: p for name, p in named if name.startswith(prefixes) and name not in self.seeded}


def make_student(
    teacher: LanguageModel, pattern: Sequence[str], options: Mapping[str, Options] | None = None, seed: int = 0
) -> Student:
    """Return a copy of a model with kinds of `pattern`, repeated over its depth, in place of softmax attention.

    Args:
        options: options by the name of the student; options that must fit the model are taken from it.
        seed: key of the parameters that the teacher does not have.

    Raises:
        NeurosimInputError: a layer that is not softmax attention, or an option that breaks its rule.
    """
    specs = list(teacher.config.layers)
    chosen: dict[int, StudentKind] = {}
    replaced = [i for i in range(len(specs)) if pattern[i % len(pattern)] != KEEP]
    require(len(replaced) > 0, "student.pattern", "must replace at least one layer", ",".join(pattern))
    for i in replaced:
        name = pattern[i % len(pattern)]
        mixer = teacher.mixers()[i]
        if not isinstance(mixer, SoftmaxAttention):
            raise NeurosimInputError(
                f"layers.{i}: must be softmax attention to be replaced (got '{specs[i].kind}'); keep it"
            )
        if mixer.score_cap is not None:
            raise NeurosimInputError(
                f"layers.{i}: bounds its scores by {mixer.score_cap:g}, which no linear kind does; keep it"
            )
        chosen[i] = STUDENTS[name]
        fitting = chosen[i].options(mixer, specs[i].options)
        specs[i] = MixerSpec(chosen[i].kind or name, {**fitting, **(options or {}).get(name, {})})
    # Every parameter is drawn from the seed; then parameters of the teacher take their places.
    model = LanguageModel(replace(teacher.config, layers=tuple(specs)), seed)
    seeded = []
    with torch.no_grad():
        _copy_rest(teacher, model, replaced)
        for i, kind in chosen.items():
            copied = kind.seed(cast(SoftmaxAttention, teacher.mixers()[i]), model.mixers()[i])
            seeded += [f"layers.{i}.mixer.{name}" for name in copied]
    model.to(teacher.device).eval()
    gains = {}
    for i, kind in chosen.items():
        weight = dict(model.mixers()[i].named_parameters()).get(kind.gain)
        # None where options leave out the norm, or its weight.
        if weight is not None:
            gains[i] = weight
    return Student(model, tuple(replaced), frozenset(seeded), gains)


def _copy_rest(teacher: LanguageModel, model: LanguageModel, replaced: Sequence[int]) -> None:
    """Copy every parameter and buffer outside the replaced layers."""
    prefixes = tuple(f"layers.{i}.mixer." for i in replaced)
    rest = {name: value for name, value in teacher.state_dict().items() if not name.startswith(prefixes)}
    model.load_state_dict(rest, strict=False)
