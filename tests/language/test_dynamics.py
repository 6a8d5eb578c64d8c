"""Every kind as h = Lambda h + B u, y = C h: the system is its recurrence, and kinds contain each other."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from helpers.attention_kinds import SMALL, WIDTH, handed, mixer_of, noise
from torch import Tensor

from neurosim.base import NeurosimInputError
from neurosim.language import Depth, Mixer, build
from neurosim.language.attention.dynamics import Spectrum
from neurosim.language.attention.kinds.linear_system import LinearSystem
from neurosim.language.attention.kinds.matrix_memory import AdditiveMixer
from neurosim.language.attention.kinds.slots import GatedSlotAttention


def running(mixer: Mixer, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The memory after some tokens, and the inputs of those that follow."""
    _, state = mixer(noise(2, 5, WIDTH, seed=9), None, handed(5))
    return state["memory"], mixer.project(x, state, handed(x.shape[1]))[0]


VARIANTS = [
    ("plstm", {"num_heads": 2, "states": 3}),  # states that a matrix mixes
    ("sse", SMALL["sse"] | {"linear_attn_type": "gdn"}),  # partitions of the delta rule
]


@pytest.mark.parametrize(("kind", "options"), [*SMALL.items(), *VARIANTS])
def test_the_system_is_the_recurrence(kind: str, options: dict[str, Any]) -> None:
    mixer = mixer_of(kind, options)
    x = noise(2, 17, WIDTH)
    memory, inputs = running(mixer, x)
    try:
        system = mixer.system(inputs, memory)
    except NeurosimInputError as error:
        assert "no state of fixed size that tokens change linearly" in str(error)
        assert kind not in LINEAR
        return
    expected, out = mixer.stepwise(memory, inputs)
    start = memory
    if kind == "ssm":
        start = torch.view_as_complex(memory)
        start = torch.cat([start, start.conj()], -1)[..., None]
    elif kind == "alrnn":
        start = memory[:, None, :, None]
    elif kind == "lssl":
        start = memory[..., None]
    state, y = system.run(start)
    if kind == "ssm":
        torch.testing.assert_close(torch.view_as_real(state[:, :, :4, 0]), expected, rtol=1e-10, atol=1e-11)
        y = y.real
    else:
        torch.testing.assert_close(state.reshape(expected.shape), expected, rtol=1e-10, atol=1e-11)
    if isinstance(mixer, GatedSlotAttention):  # of a linear state it reads a softmax
        y = mixer.read_slots(y, inputs["q"])
    torch.testing.assert_close(y.reshape(out.shape), out, rtol=1e-10, atol=1e-11)


LINEAR = {
    *("alrnn", "comba", "deltanet", "deltaproduct", "gated_deltanet", "gla", "gsa", "hgrn", "hgrn2", "kda"),
    *("lightnet", "linear"),
    *("lssl", "plstm"),
    *("mamba", "mamba2", "mom", "retention", "rwkv5", "rwkv6", "rwkv7", "sse", "ssm", "window_linear"),
}


@pytest.mark.parametrize("kind", sorted(LINEAR - {"alrnn"}))
def test_no_eigenvalue_lies_outside_the_unit_circle(kind: str) -> None:
    mixer = mixer_of(kind, SMALL[kind])
    memory, inputs = running(mixer, 3 * noise(2, 30, WIDTH))
    spectrum = Spectrum.of(mixer.system(inputs, memory))
    assert 0 <= spectrum.lowest <= spectrum.median <= spectrum.highest <= 1 + 1e-6
    if isinstance(mixer, AdditiveMixer):
        assert spectrum.negative == 0
    if kind == "deltaproduct":  # products of reflections
        assert spectrum.negative > 0


def test_spectra_of_known_systems() -> None:
    decays = torch.tensor([0.5, 0.9, 0.9, 1.0]).log()
    ones = torch.ones(1, 1, 1, 4)
    mixer = mixer_of("gla", {"num_heads": 1, "key_dim": 4})
    spectrum = Spectrum.of(mixer.system({"q": ones, "k": ones, "v": ones, "g": decays.expand(1, 1, 1, 4)}, ones))
    assert spectrum.longest is None and spectrum.horizon == pytest.approx(10, rel=1e-4)
    assert (spectrum.lowest, spectrum.highest) == (pytest.approx(0.5), 1.0)
    k = torch.nn.functional.normalize(noise(1, 1, 1, 4), dim=-1)
    inputs = {"q": k, "k": k, "v": k, "beta": torch.full((1, 1, 1), 1.75, dtype=k.dtype)}
    found = mixer_of("deltanet", {"num_heads": 1}).system(inputs, k).eigenvalues().real.flatten().sort().values
    torch.testing.assert_close(found, torch.tensor([-0.75, 1, 1, 1], dtype=k.dtype))


def same(one: LinearSystem, other: LinearSystem) -> None:
    """The same maps, however they are stored."""
    full = [torch.diag_embed(s.transition) if s.is_diagonal else s.transition for s in (one, other)]
    torch.testing.assert_close(*full)
    torch.testing.assert_close(one.write @ one.inputs, other.write @ other.inputs)
    assert one.read is not None and other.read is not None
    torch.testing.assert_close(one.read, other.read)


def copied(target: Mixer, source: Mixer, *names: str) -> None:
    with torch.no_grad():
        for name in names:
            getattr(target, name).weight.copy_(getattr(source, name).weight)


X = noise(2, 9, WIDTH)


def system(mixer: Mixer, x: Tensor = X) -> LinearSystem:
    state = mixer.initial(x)
    return mixer.system(mixer.project(x, state, {})[0], state["memory"])


def test_constant_decays_make_gated_kinds_retention_and_mamba_2() -> None:
    retention = build("retention", WIDTH, Depth(), {"num_heads": 2, "rotary": False}).double()
    gamma = torch.tensor(retention.log_decays, dtype=torch.float64)
    # logsigmoid(b) / 1 = log gamma
    bias = gamma - torch.log1p(-gamma.exp())
    names = ("q_proj", "k_proj", "v_proj")
    simple = build(
        "gla", WIDTH, Depth(), {"decay": "head", "num_heads": 2, "key_dim": WIDTH, "gate_logit_normalizer": 1.0}
    )
    gla = build("gla", WIDTH, Depth(), {"num_heads": 2, "key_dim": WIDTH, "gate_logit_normalizer": 1.0})
    for mixer, b in ((simple.double(), bias), (gla.double(), bias.repeat_interleave(12))):
        copied(mixer, retention, *names)
        with torch.no_grad():
            last = mixer.gk_proj if mixer is simple else mixer.gk_proj[1]  # type: ignore[index]
            last.weight.zero_()  # type: ignore[union-attr]
            last.bias.copy_(b)  # type: ignore[union-attr]
        same(system(mixer), system(retention))
    mamba = build(
        "mamba2",
        WIDTH,
        Depth(),
        {"expand": 1, "head_dim": 12, "state_size": 12, "n_groups": 2, "conv_kernel": 1, "hidden_act": "identity"},
    ).double()
    with torch.no_grad():
        z = torch.zeros(WIDTH, WIDTH, dtype=torch.float64)
        dt = torch.zeros(2, WIDTH, dtype=torch.float64)
        q, k, v = (getattr(retention, name).weight for name in names)
        mamba.in_proj.weight.copy_(torch.cat([z, v, k, q * 12**-0.5, dt]))
        mamba.conv1d.weight.fill_(1)
        mamba.conv1d.bias.zero_()
        mamba.dt_bias.fill_(math.log(math.e - 1))  # softplus of it is 1
        mamba.A_log.copy_((-gamma).log())
    same(system(mamba), system(retention))


def test_delta_kinds_contain_each_other() -> None:
    head = {"num_heads": 2, "head_dim": 12, "head_v_dim": 12, "conv_size": 0}
    gated = build("gated_deltanet", WIDTH, Depth(), head).double()
    names = ("q_proj", "k_proj", "v_proj", "b_proj")
    one = build("deltaproduct", WIDTH, Depth(), head | {"num_householder": 1, "allow_neg_eigval": False}).double()
    copied(one, gated, *names, "a_proj")
    kda = build("kda", WIDTH, Depth(), head).double()
    copied(kda, gated, *names)
    with torch.no_grad():
        for other in (one, kda):
            other.A_log.copy_(gated.A_log)
        one.dt_bias.copy_(gated.dt_bias)
        gated.a_proj.weight.zero_()  # KDA's decays are those of the head, where they do not depend on the token
        one.a_proj.weight.zero_()
        kda.f_proj[1].weight.zero_()
        kda.dt_bias.copy_(gated.dt_bias.repeat_interleave(12))
    same(system(one), system(gated))
    same(system(kda), system(gated))
    plain = build("deltanet", WIDTH, Depth(), {"num_heads": 2, "conv_size": 0}).double()
    copied(plain, gated, *names)
    with torch.no_grad():
        gated.A_log.fill_(-torch.inf)  # no decay
    ours = system(plain)
    theirs = system(gated)
    same(ours, theirs)
    # RWKV-7's change of rank one with a = -k, b = beta k, and its k scaled by beta, is the delta rule.
    inputs = plain.project(X, plain.initial(X), {})[0]
    written = inputs["beta"][..., None] * inputs["k"]
    rank_one = inputs | {"a": -inputs["k"], "b": written, "k": written, "g": torch.zeros_like(written)}
    rwkv = build("rwkv7", WIDTH, Depth(), {"head_dim": 12}).double()
    same(rwkv.system(rank_one | {"q": inputs["q"] * plain.scale}, X), ours)


def test_linear_attention_comes_near_softmax_at_the_rate_of_its_remainder() -> None:
    """Softmax is the system of infinite order; the Taylor series up to the square errs by the cube of q . k."""
    torch.manual_seed(0)  # the limits below hold for most first weights, not for all
    softmax = build("softmax", WIDTH, Depth(), {"num_heads": 2, "rotary_dim": 0}).double()
    based = build("linear", WIDTH, Depth(), {"num_heads": 2, "feature_map": "based", "use_output_norm": False}).double()
    copied(based, softmax, "q_proj", "k_proj", "v_proj", "o_proj")
    errors = []
    for size in (0.4, 0.2, 0.1):
        with torch.no_grad():
            for name in ("q_proj", "k_proj"):
                weight = getattr(softmax, name).weight * (size / 0.4 if size == 0.4 else 0.5**0.5)
                for mixer in (softmax, based):
                    getattr(mixer, name).weight.copy_(weight)
            errors.append(float((softmax(X)[0] - based(X)[0]).abs().max()))
    for large, small in itertools.pairwise(errors):
        assert 6 < large / small < 10
