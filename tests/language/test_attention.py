"""Attention kinds: the chunked form is the recurrence, wherever a sequence is cut; models, configs and files."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.attention_kinds import SMALL, WIDTH, handed, mixer_of, noise
from torch import Tensor

from neurosim.base import NeurosimInputError
from neurosim.base.distribution import install
from neurosim.language import (
    KINDS,
    Decoder,
    Depth,
    LanguageConfig,
    LanguageModel,
    Mixer,
    MixerSpec,
    build,
    read_model,
    write_model,
)
from neurosim.language.attention.kinds import options_of

MORE: list[tuple[str, dict[str, Any]]] = [
    ("linear", {"num_heads": 2, "feature_map": "hadamard", "do_feature_map_norm": False}),
    ("linear", {"num_heads": 2, "feature_map": "hedgehog", "tie_feature_map_qk": True}),
    ("linear", {"num_heads": 4, "num_kv_heads": 2, "feature_map": "hedgehog_by_head"}),
    ("linear", {"num_heads": 2, "feature_map": "based", "key_dim": 8}),
    ("linear", {"num_heads": 4, "num_kv_heads": 2, "feature_map": "hedgehog", "rotary_dim": 4}),
    ("linear", {"num_heads": 2, "feature_map": "norm_aware", "train_norm_power": True}),
    ("linear", {"num_heads": 2, "feature_map": "based", "key_dim": 8, "conv_size": 3, "use_output_norm": False}),
    ("linear", {"num_heads": 2, "feature_map": "relu", "norm_q": True, "norm_k": True}),
    (
        "deltanet",
        {"num_heads": 2, "allow_neg_eigval": True, "qk_activation": "elu", "qk_norm": "sum", "use_beta": False},
    ),
    ("deltaproduct", {"num_heads": 2, "head_dim": 6, "use_forget_gate": False}),
    ("kda", {"num_heads": 2, "head_dim": 6, "lower_bound": -5.0, "allow_neg_eigval": True}),
    ("mom", {"num_heads": 2, "head_dim": 6, "shared_mem": False, "single_kv_proj": True, "conv_size": 0}),
    ("sse", {"num_heads": 2, "head_dim": 6, "topk": 2, "readers": 1}),
    ("sse", {"linear_attn_type": "gdn", "num_heads": 1, "num_v_heads": 2, "head_dim": 4, "readers": 3, "conv_size": 3}),
    ("gla", {"num_heads": 4, "num_kv_heads": 2, "decay": "head", "conv_size": 4}),
    ("retention", {"num_heads": 4, "decay": "lightning", "rotary": False, "feature_map": "silu"}),
    ("tcnca", {"layers": 2, "kernel": 3, "window_size": 5, "moving": True, "simple": True}),
    ("tcnca", {"window_size": 7, "averages": "ema", "state_size": 3}),
    ("seqboat", {"slots": 6, "state_size": 3, "positions": "bias", "attention": "relu2", "ssm": "s4d"}),
    ("paragru", {"units": 10, "rounds": None, "blocks": 2}),
    ("plstm", {"num_heads": 2, "conv_size": 2, "states": 3}),
    ("plstm", {"num_heads": 2, "states": 2, "value_parts": 4, "passthrough": True}),
    ("plstm", {"num_heads": 2, "states": 2, "conv_size": 4, "conv_inputs": True, "passthrough": True}),
    ("plstm", {"num_heads": 2, "closed": True, "gate_fn": None}),
    ("sea", {"num_heads": 2, "topk": 5, "columns": 6, "hidden": 7, "learnt_positions": 9}),
    ("moneta", {"num_heads": 1, "head_dim": 4, "memory_depth": 1, "span": 4, "retain": "span"}),
    ("mamba2", {"head_dim": 6, "state_size": 5, "rmsnorm": False, "D_has_hdim": True, "dt_limit": (0.01, 0.05)}),
    ("mamba", {"state_size": 3, "inner_norm_eps": 1e-6, "use_bias": True}),
    ("latent", {"num_heads": 2, "q_lora_rank": 5, "attention_bias": True}),
    ("ssm", {"state_size": 4, "discretisation": "zoh"}),
    ("softmax", {"num_heads": 2, "rotary_dim": 4, "o_bias": True, "rope_scaling": {"type": "linear", "factor": 2.0}}),
    ("window", {"num_heads": 2, "window_size": 0}),
    ("local_linear", {"num_heads": 2, "window_size": 5}),
    ("titans", {"num_heads": 2, "head_dim": 4, "memory_depth": 1, "span": 1}),
    ("moneta", {"num_heads": 2, "head_dim": 8, "expansion": 2, "span": 4, "retention": "printed"}),
    ("titans_gate", {"num_heads": 2, "head_dim": 4, "expansion": 2, "span": 4, "window_size": 5, "persistent": 0}),
    ("titans", {"num_heads": 2, "head_dim": 4, "expansion": 2, "span": 4, "gates": "channel", "gate_rank": 3}),
    ("titans", {"num_heads": 2, "head_dim": 8, "expansion": 2, "span": 4, "read": "linear", "max_step": 0.05}),
    ("yaad", {"num_heads": 2, "head_dim": 4, "memory_depth": 1, "span": 4, "gates": "channel"}),
    ("lssl", {"state_size": 5, "measure": "legt"}),
    ("retention", {"num_heads": 2, "num_kv_heads": 1, "trained_angles": True}),
    ("lssl", {"state_size": 4, "structured": True, "copies": 2, "outputs": 3}),
    ("bmojo", {"num_heads": 2, "window_size": 3, "use_fading": False}),
    ("comba", {"num_heads": 2, "head_dim": 6, "normalise_feedback": True, "use_gate": False}),
    ("comba", {"num_heads": 2, "head_dim": 6, "use_inner_decay": False, "use_output_correction": False}),
    ("gsa", {"num_heads": 2, "feature_map": "t2r"}),
    ("hgrn", {"expand_ratio": 1.5, "use_lower_bound": False}),
]
CASES = [*SMALL.items(), *MORE]
TRAINED_ON_THE_WAY = ("memora", "moneta", "titans", "titans_context", "titans_gate", "titans_layer", "yaad")


def both_forms(mixer: Mixer, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Memory, outputs and gradients of the recurrence, and of the chunked form, from a state that is not empty."""
    mixer = mixer.to(dtype)
    x, before = (noise(2, n, WIDTH, seed=seed, dtype=torch.float32).to(dtype) for n, seed in ((39, 0), (9, 1)))
    _, state = mixer(before, None, handed(9, dtype))
    inputs, _ = mixer.project(x.requires_grad_(), state, handed(39, dtype))

    def results(run: Any) -> list[Tensor]:
        memory, out = run(state["memory"], inputs)
        y = mixer.finish(out, x, inputs)
        loss = (y * noise(*y.shape, seed=2, dtype=torch.float32)).sum() + memory.square().sum()
        grads = torch.autograd.grad(loss, [x, *mixer.parameters()], retain_graph=True, allow_unused=True)
        return [memory.detach(), y.detach(), *(g for g in grads if g is not None)]

    return results(mixer.stepwise), results(mixer.chunked)


@pytest.mark.parametrize(
    "dtype, close", [(torch.float64, 1e-10), pytest.param(torch.float32, 1e-5, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind, options", CASES, ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x)))
def test_chunked_equals_the_recurrence(kind: str, options: dict[str, Any], dtype: torch.dtype, close: float) -> None:
    """Values and gradients, over more than one chunk and an odd rest.

    Gradients through memories that are trained on the way lose more than 1e-5 in float32, more on one processor than
    on another. There the two forms may lie as far apart as the recurrence lies from itself in float64.
    """
    mixer = mixer_of(kind, options, torch.float32)
    mixer.chunk = min(mixer.chunk, 16)
    steps, chunks = both_forms(mixer, dtype)
    assert len(steps) == len(chunks) > 5

    def apart(some: list[Tensor], others: list[Tensor]) -> list[float]:
        return [
            float((one - other).abs().max()) / max(float(one.abs().max()), 1.0)
            for one, other in zip(some, others, strict=True)
        ]

    difference = apart(steps, chunks)
    assert max(difference[:2]) <= close
    if kind in TRAINED_ON_THE_WAY and dtype == torch.float32:
        close = max(close, 2 * max(apart(steps, both_forms(mixer, torch.float64)[0])[2:]))
    assert max(difference[2:]) <= close


@pytest.mark.parametrize("kind, options", CASES, ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x)))
def test_a_sequence_may_be_cut_anywhere(kind: str, options: dict[str, Any]) -> None:
    """Whole, in two parts, and a token at a time: one result, and memory that stays of one size."""
    mixer = mixer_of(kind, options)
    x = noise(2, 21, WIDTH)
    shared = handed(21)
    whole, end = mixer(x, None, dict(shared))
    first, state = mixer(x[:, :8], None, shared | {"first_values": shared["first_values"][:, :8]})
    rest, state = mixer(x[:, 8:], state, shared | {"first_values": shared["first_values"][:, 8:]})
    torch.testing.assert_close(torch.cat([first, rest], 1), whole, rtol=1e-9, atol=1e-10)
    steps = []
    now = None
    sizes = []
    for t in range(21):
        y, now = mixer(x[:, t : t + 1], now, shared | {"first_values": shared["first_values"][:, t : t + 1]})
        steps.append(y)
        sizes.append(sum(value.numel() for value in now.values()))
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-9, atol=1e-10)
    assert now is not None
    for name, value in end.items():
        torch.testing.assert_close(now[name], value, rtol=1e-9, atol=1e-10)
    if kind not in ("hax", "latent") and (options_of(kind) | options).get("window_size") != 0:
        # Two chunks of 7 tokens later, where a text is cut into them.
        assert sizes[-1] == sizes[6 if kind == "tcnca" else 8]


@pytest.mark.slow
def test_every_option_has_a_compiled_step() -> None:
    """Decoder against the model's own logits, for all cases; `test_decoder.py` has them in spikes."""
    tokens = torch.randint(11, (1, 12), generator=torch.Generator().manual_seed(1))
    for kind, options in CASES:
        model = LanguageModel(LanguageConfig((MixerSpec(kind, options),), vocabulary=11, width=WIDTH, hidden=16)).eval()
        decoder = Decoder(model)
        steps = torch.stack([torch.from_numpy(decoder.step([token])[0].copy()) for token in tokens[0].tolist()])
        with torch.no_grad():
            whole = model(tokens)[0][0]
        error = float((steps - whole).abs().max() / whole.abs().max())
        assert error < 1e-4, (kind, options, error)


def test_every_kind_is_tested_and_takes_only_its_options() -> None:
    assert set(SMALL) == set(KINDS)
    with pytest.raises(NeurosimInputError, match="gla option: unknown name 'num_headz'; did you mean 'num_heads'"):
        build("gla", WIDTH, Depth(), {"num_headz": 2})
    with pytest.raises(NeurosimInputError, match="attention kind: unknown name 'gated_deltnet'; did you mean"):
        build("gated_deltnet", WIDTH, Depth(), {})
    with pytest.raises(NeurosimInputError, match=r"GLA.num_heads: must be > 0 \(got 0\)"):
        build("gla", WIDTH, Depth(), {"num_heads": 0})
    with pytest.raises(NeurosimInputError, match=r"must be a multiple of 5 and > 0 \(got 24\)"):
        build("retention", WIDTH, Depth(), {"num_heads": 5})
    assert options_of("kda")["lower_bound"] is None
    page = (Path(__file__).parents[2] / "docs" / "kinds.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []


def test_without_torch_the_text_is_there_and_the_rest_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import neurosim.language as a, neurosim.base.errors\n"
        "assert a.python_text()\n"
        "try: a.LanguageModel\n"
        "except neurosim.base.errors.NeurosimMissingError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "needs torch" in said and install("train") in said


def stack() -> LanguageConfig:
    layers = tuple(MixerSpec(kind, options) for kind, options in SMALL.items() if kind != "rwkv7")
    return LanguageConfig((MixerSpec("rwkv7", SMALL["rwkv7"] | {"value_dim": WIDTH}), *layers), 50, WIDTH, hidden=16)


@pytest.mark.slow
def test_any_mix_of_kinds_is_one_model() -> None:
    model = LanguageModel(stack()).double()
    tokens = torch.randint(50, (2, 13), generator=torch.Generator().manual_seed(0))
    logits, _ = model(tokens)
    state = None
    steps = []
    for t in range(13):
        out, state = model.step(tokens[:, t], state)
        steps.append(out)
    torch.testing.assert_close(torch.stack(steps, 1), logits, rtol=1e-8, atol=1e-9)
    (logits.square().sum() + model.auxiliary_loss()).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert not silent


def test_states_that_are_read_are_emptied_where_this_is_said() -> None:
    """The state after the tokens is the same; without it the state before them stays."""
    model = LanguageModel(LanguageConfig((MixerSpec("gla", {"num_heads": 2}), MixerSpec("softmax", {})), width=16), 0)
    tokens = torch.arange(8).view(2, 4)
    with torch.no_grad():
        _, state = model.hidden(model.embed(tokens), None)
        kept = [dict(part) for part in state]
        hidden, after = model.hidden(model.embed(tokens), state)
        assert all(part.keys() == same.keys() and part for part, same in zip(state, kept, strict=True))
        again, same = model.hidden(model.embed(tokens), state, empties=True)
    assert state == [{}, {}]
    assert torch.equal(again, hidden)
    for one, other in zip(after, same, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_models_are_a_function_of_their_seed() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (LanguageModel(stack(), seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["embeddings.weight"], other["embeddings.weight"])


def test_configs_survive_json_and_name_what_is_wrong() -> None:
    config = stack()
    assert LanguageConfig.from_json(config.to_json()).to_json() == config.to_json()
    with pytest.raises(NeurosimInputError, match="LanguageConfig: unknown key 'widht'; did you mean 'width'"):
        LanguageConfig.from_json({"widht": 3})
    with pytest.raises(
        NeurosimInputError, match=r"LanguageConfig.layers\[0\]: unknown key 'kynd'; did you mean 'kind'"
    ):
        LanguageConfig.from_json({"layers": [{"kynd": "gla"}]})
    with pytest.raises(NeurosimInputError, match=r"LanguageConfig\.mlp: unknown name 'mlp'"):
        LanguageModel(LanguageConfig((MixerSpec("gla"),), mlp="mlp"))


def test_every_kind_is_saved_and_read(tmp_path: Path) -> None:
    model = LanguageModel(stack(), 3)
    tokens = torch.arange(18).view(2, 9)
    write_model(tmp_path, model)
    assert torch.equal(read_model(tmp_path)(tokens)[0], model(tokens)[0])


@pytest.mark.gpu
@pytest.mark.parametrize("kind, options", CASES, ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x)))
def test_kinds_on_a_gpu(kind: str, options: dict[str, Any]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    mixer = mixer_of(kind, options)
    x = noise(2, 39, WIDTH)
    shared = handed(39)
    expected, _ = mixer(x, None, dict(shared))
    y, _ = mixer.cuda()(x.cuda(), None, {name: value.cuda() for name, value in shared.items()})
    torch.testing.assert_close(y.cpu(), expected, rtol=1e-8, atol=1e-9)
    y.sum().backward()


def test_the_benchmark_builds_its_kinds() -> None:
    module = importlib.import_module("attention")
    assert module.memory_size(*module.RECALL["DeltaNet"]) == module.KEY * module.WIDTH
    for kind, options in module.RECALL.values():
        build(kind, module.WIDTH, Depth(), options)
