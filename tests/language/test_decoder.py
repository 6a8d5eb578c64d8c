"""The compiled step: for every kind, coding, batch and number of threads it is the model's own step."""

from __future__ import annotations

import gc
import re
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from helpers.decoding import SENSITIVE, assert_same, assert_same_but, decoded, model_of, stepped, text
from helpers.samples import sampled
from torch import Tensor, nn

from neurosim.base import NeurosimInputError
from neurosim.kernels.decode.program import MEET
from neurosim.language import (
    KINDS,
    SCHEMES,
    Coder,
    Coding,
    Decoder,
    LanguageConfig,
    LanguageModel,
    MixerSpec,
    calibrate_channels,
    convert,
    read_model,
)
from neurosim.language.attention.events import EventInput
from neurosim.language.attention.experts import ExpertsSpec
from neurosim.language.attention.gguf.blocks import BLOCKS, BlockTensor
from neurosim.language.conversion.decoder import embedding
from neurosim.language.conversion.decoder.memory import Weights
from neurosim.language.conversion.generate import Sampling, generate_tokens

MORE: list[tuple[str, dict[str, Any]]] = [
    ("linear", {"num_heads": 2, "feature_map": "hadamard", "do_feature_map_norm": False}),
    ("linear", {"num_heads": 2, "feature_map": "hedgehog", "tie_feature_map_qk": True}),
    ("linear", {"num_heads": 4, "num_kv_heads": 2, "feature_map": "hedgehog_by_head"}),
    ("linear", {"num_heads": 4, "num_kv_heads": 2, "feature_map": "hedgehog", "rotary_dim": 6, "rope_theta": 50.0}),
    ("linear", {"num_heads": 2, "feature_map": "based", "key_dim": 8}),
    ("linear", {"num_heads": 2, "feature_map": "dpfp", "use_output_norm": False}),
    ("linear", {"num_heads": 2, "feature_map": "norm_aware", "norm_power": 2.0}),
    ("linear", {"num_heads": 2, "feature_map": "norm_aware", "train_norm_power": True, "conv_size": 3}),
    ("linear", {"num_heads": 2, "feature_map": "t2r"}),
    ("linear", {"num_heads": 2, "feature_map": "relu", "norm_q": True, "norm_k": True}),
    ("comba", {"num_heads": 2, "head_dim": 6, "normalise_feedback": True, "use_gate": False}),
    ("comba", {"num_heads": 2, "head_dim": 6, "use_inner_decay": False, "use_output_correction": False}),
    ("deltanet", {"num_heads": 2, "qk_activation": "elu", "qk_norm": "sum", "use_beta": False, "gate_fn": "swish"}),
    ("deltanet", {"num_heads": 2, "conv_size": 0}),
    ("deltaproduct", {"num_heads": 2, "head_dim": 6, "use_forget_gate": False, "gate_fn": None}),
    ("gla", {"num_heads": 2, "clamp_min": -0.1, "feature_map": "relu"}),
    ("gsa", {"num_heads": 2, "feature_map": "t2r"}),
    ("hgrn", {"expand_ratio": 1.5, "use_lower_bound": False}),
    ("kda", {"num_heads": 2, "head_dim": 6, "lower_bound": -5.0}),
    ("lssl", {"state_size": 4, "structured": True, "copies": 2, "outputs": 3}),
    ("latent", {"num_heads": 3, "qk_rope_head_dim": 0, "attention_bias": True}),
    ("mamba2", {"head_dim": 8, "state_size": 5, "D_has_hdim": True, "gate_first": False, "dt_limit": (0.02, 0.05)}),
    ("mamba2", {"head_dim": 8, "state_size": 5, "rmsnorm": False, "use_conv_bias": False}),
    ("mom", {"num_heads": 2, "head_dim": 6, "single_kv_proj": True, "shared_mem": False, "conv_size": 0}),
    ("moneta", {"num_heads": 2, "head_dim": 8, "expansion": 2, "span": 4, "retention": "printed", "q": 2.5}),
    ("moneta", {"num_heads": 2, "head_dim": 8, "expansion": 2, "span": 4, "retain": "span", "gates": "channel"}),
    ("memora", {"num_heads": 2, "head_dim": 8, "expansion": 2, "span": 4, "retain": "span", "memory_depth": 1}),
    ("titans", {"num_heads": 2, "head_dim": 8, "expansion": 2, "span": 4, "read": "linear", "max_step": 0.05}),
    ("yaad", {"num_heads": 2, "head_dim": 8, "expansion": 2, "span": 4, "read": "linear", "memory_depth": 3}),
    ("rwkv6", {"head_dim": 8, "inner_dim": 32, "value_dim": 64}),
    ("plstm", {"num_heads": 2, "conv_size": 3, "gate_fn": None}),
    ("plstm", {"num_heads": 2, "conv_size": 3, "states": 3}),
    ("plstm", {"num_heads": 4, "states": 1, "closed": True}),
    ("plstm", {"num_heads": 2, "states": 3, "conv_size": 3, "conv_inputs": True, "passthrough": True}),
    ("plstm", {"num_heads": 2, "states": 3, "value_parts": 2, "closed": True, "passthrough": True}),
    ("sea", {"num_heads": 4, "num_kv_heads": 2, "topk": 4, "columns": 6, "hidden": 7, "learnt_positions": 5}),
    ("retention", {"num_heads": 4, "num_kv_heads": 2, "trained_angles": True}),
    ("seqboat", {"slots": 3, "key_dim": 8, "state_size": 3, "positions": "bias", "attention": "relu2"}),
    ("seqboat", {"slots": 5, "key_dim": 8, "state_size": 3, "positions": "bias", "ssm": "s4d"}),
    ("sse", {"num_heads": 2, "head_dim": 6, "gate_fn": None}),
    ("sse", {"num_heads": 2, "head_dim": 6, "topk": 3, "readers": 1}),
    ("sse", {"linear_attn_type": "gdn", "num_heads": 2, "head_dim": 6, "topk": 2, "allow_neg_eigval": True}),
    ("sse", {"linear_attn_type": "gdn", "num_heads": 2, "head_dim": 6, "topk": 1, "readers": 3}),
    ("sse", {"num_heads": 2, "num_v_heads": 4, "head_dim": 6, "conv_size": 3}),
    ("gla", {"num_heads": 4, "num_kv_heads": 2, "decay": "head"}),
    ("tcnca", {"layers": 2, "kernel": 3, "window_size": 4, "moving": True, "simple": True}),
    ("tcnca", {"window_size": 4, "averages": "s4d", "state_size": 3}),
    ("window_linear", {"window_size": 1, "use_gate": False, "feature_map": "elu", "attention": {"rotary_dim": 0}}),
    ("window_linear", {"window_size": 3, "attention": {"num_heads": 2, "qk_norm": True, "output_gate": True}}),
    ("yaad", {"num_heads": 2, "head_dim": 6, "expansion": 2, "span": 4, "gates": "channel", "gate_rank": 4}),
]
# The sample of the quick run: a state that decays, one that is corrected, a scan, a window and routed memories.
QUICK = ["gla", "gated_deltanet", "mamba2"]
QUICK_CASES = [("gla", "ternary"), ("gla", "calibrated"), ("gla", "stbif"), ("mamba2", "qcfs"), ("hax", "calibrated")]
# Each kind with one coding in turn; tests/guard/test_conversions.py compiles every kind with every coding.
CASES = [*QUICK_CASES, *(case for case in zip(sorted(KINDS), cycle(SCHEMES), strict=False) if case not in QUICK_CASES)]


@pytest.mark.parametrize("case", sampled(CASES, QUICK_CASES), ids="-".join)
def test_every_kind_and_coding(case: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The step is the model's own, and neither the batch nor threads change a bit."""
    monkeypatch.setattr("neurosim.language.conversion.convert.LEARNED_STEPS", 1)
    kind, scheme = case
    model = model_of(kind)
    tokens = text(6, 16)
    first_coding = Coding(scheme, head=True, spikes=0.8, levels=15)
    if SCHEMES[scheme].channel:
        known = calibrate_channels(model, first_coding, text(600), 0, 2, 16)
    else:
        known = None
    for weights, batch in (("int8", 16), ("float32", 5)):
        coding = replace(first_coding, weights=weights)
        made = convert(model, coding, text(600), windows=2, length=16, calibration=known).execute()
        first = decoded(Decoder(made.model, batch), tokens[:, :batch])
        some, close = (2, 1e-4) if kind in SENSITIVE else (1, 2e-5)
        assert_same_but(some, first, stepped(made.model, tokens[:, :batch]), close)
        # Threads meet in two ways, with thresholds of tokens and of channels, whatever the type of the weights.
        if weights == "int8" and scheme in ("ternary", "calibrated"):
            threads = 2
        else:
            threads = 1
        for fewer in (1, 3):
            assert torch.equal(decoded(Decoder(made.model, fewer, threads), tokens[:, :fewer]), first[:, :fewer])


@pytest.mark.parametrize("kind", sampled(sorted(KINDS), QUICK))
def test_every_kind_dense(kind: str) -> None:
    model = model_of(kind)
    tokens = text(9, 2)
    assert_same(decoded(Decoder(model, 2), tokens), stepped(model, tokens), 1e-4 if kind in SENSITIVE else 2e-5)


@pytest.mark.parametrize("case", sampled(MORE, MORE[::4]), ids=str)
def test_options(case: tuple[str, dict[str, Any]]) -> None:
    kind, options = case
    made = convert(model_of(kind, options), Coding("ternary", k=4.0)).execute()
    tokens = text(8, 2)
    assert_same(decoded(Decoder(made.model, 2), tokens), stepped(made.model, tokens))


@pytest.mark.parametrize("kind", ["gla", "gated_deltanet", "rwkv7", "mom", "window", "window_linear"])
@pytest.mark.parametrize("state", [False, True])
def test_queries_keys_and_states_in_spikes(kind: str, state: bool) -> None:
    if KINDS[kind].holds_tokens and state:
        return
    made = convert(model_of(kind), Coding("ternary", qk=True, state=state)).execute()
    tokens = text(8, 2)
    assert_same(decoded(Decoder(made.model, 2), tokens), stepped(made.model, tokens))


HOLD_TOKENS = {
    *("bmojo", "gam", "hax", "latent", "local_linear", "scout", "sea", "seqboat", "softmax", "tcnca"),
    *("titans_context", "titans_layer", "window"),
}


@pytest.mark.parametrize("kind", sampled(sorted(KINDS), ["mamba", "softmax", "titans_context", "yaad"]))
def test_states_in_spikes_are_compiled_or_hold_tokens(kind: str) -> None:
    if kind in HOLD_TOKENS:
        with pytest.raises(
            NeurosimInputError, match=r"layers\.0\.mixer: .* holds earlier tokens, .* leave Coding.state"
        ):
            convert(model_of(kind), Coding(state=True))
        return
    Decoder(convert(model_of(kind), Coding(state=True)).model)


def in_eighths(weight: Tensor) -> BlockTensor:
    """Return weights in blocks of 32 of 8 bits, as GGUF files have them (Q8_0)."""
    blocks = weight.detach().reshape(len(weight), -1, 32)
    steps = (blocks.abs().amax(2, keepdim=True) / 127).half()
    q = (blocks / steps).round().clamp(-127, 127).to(torch.int8)
    return BlockTensor(BLOCKS[8], torch.cat([steps.view(torch.uint8), q.view(torch.uint8)], 2).flatten(1))


@pytest.mark.parametrize("tied", [False, True])
def test_weights_in_blocks_of_8_bits(tied: bool) -> None:
    """Dense layers with them are multiplied as they are, the head of a converted model among them."""
    model = model_of("gla", tied=tied)
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.in_features % 32 == 0:
            module.weight = nn.Parameter(in_eighths(module.weight), requires_grad=False)
    if tied:
        assert isinstance(model.embeddings, nn.Embedding)
        model.embeddings.weight = model.lm_head.weight
    tokens = text(5, 3)
    for each in (model, convert(model, Coding(k=5.0)).model):
        first = decoded(Decoder(each, 3), tokens)
        assert_same(first, stepped(each, tokens))
        assert torch.equal(decoded(Decoder(each, 1, 2), tokens[:, :1]), first[:, :1])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("stored", ["blocks", "bfloat16", "float16"])
def test_an_embedding_in_fewer_bits_is_read_where_it_lies(
    stored: str, tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bits are those of a copy in float32, also of prompts and batches; a head on floats needs the copy itself."""
    model = model_of("gla", tied=tied)
    assert isinstance(model.embeddings, nn.Embedding)
    table = model.embeddings.weight
    weight = in_eighths(table) if stored == "blocks" else table.detach().to(getattr(torch, stored))
    model.embeddings.weight = nn.Parameter(weight, requires_grad=False)
    if tied:
        model.lm_head.weight = model.embeddings.weight
    spiking = convert(model, Coding(k=5.0, head=True)).model
    tokens = text(6, 3)
    widened = decoded(Decoder(spiking, 3, 2), tokens)
    monkeypatch.setattr(embedding, "MAX_WIDENED", 0)
    decoder = Decoder(spiking, 3, 2, sizes=[1], chunk=4)
    assert embedding.stored_table(spiking) is not None
    assert torch.equal(decoded(decoder, tokens), widened)
    decoder.reset()
    prompt = torch.from_numpy(decoder.read(tokens[:, 1].tolist(), 1).copy())
    assert torch.equal(prompt, widened[-1, 1])
    with pytest.raises(NeurosimInputError, match="token: must be >= 0 and < 256 \\(got 256\\)"):
        decoder.step([1, 256, 0])
    widens = tied and stored != "blocks"
    assert (embedding.stored_table(model) is None) == widens


@pytest.mark.parametrize("kind", ["gla", "softmax"])
def test_nothing_of_a_decoder_is_in_a_circle(kind: str) -> None:
    """Its weights are freed with it, and not when Python looks for circles."""
    model = convert(model_of(kind), Coding(k=5.0)).model
    # What compiles its operations for the first time leaves circles, with frames that refer to it.
    Decoder(model, 2, chunk=16)
    gc.collect()
    gc.disable()
    try:
        decoder = Decoder(model, 2, chunk=16)
        decoder.step([1, 2])
        weights = ref(decoder._programs[2].builder.weights)
        del decoder
        assert weights() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "shape",
    [{"norm": "layer", "first_norm": True, "mlp": "channel_mix"}, {"mlp": "gated_channel_mix"}, {"tied": True}],
)
def test_shapes_of_the_model(shape: dict[str, Any]) -> None:
    made = convert(model_of("rwkv7", **shape), Coding("ternary")).execute()
    tokens = text(8, 2)
    assert_same(decoded(Decoder(made.model, 2), tokens), stepped(made.model, tokens))


@pytest.mark.parametrize(
    "events",
    [
        EventInput((30,)),
        EventInput((40,), (5, 6), kernel=4),
        EventInput((2, 13, 12), (4, 6), kernel=3),
        EventInput((12, 11)),
    ],
)
def test_tokens_that_are_events(events: EventInput) -> None:
    made = convert(model_of("gla", events=events, vocabulary=10), Coding("ternary", head=True)).execute()
    draws = torch.Generator().manual_seed(2)
    bins = torch.poisson(torch.full((6, 3, int(np.prod(events.shape))), 0.4), generator=draws)
    one = decoded(Decoder(made.model, 3), bins)
    assert_same(one, stepped(made.model, bins))
    assert torch.equal(decoded(Decoder(made.model, 3, 2), bins), one)
    assert torch.equal(decoded(Decoder(made.model, 1, 2), bins[:, :1]), one[:, :1])
    with pytest.raises(NeurosimInputError, match=r"tokens: must be \[tokens, \d+ units\] \(got \(3, 2\)\)"):
        Decoder(made.model, 3).step(np.zeros((3, 2)))


@pytest.mark.parametrize("kind", sampled(["gla", "rwkv7", "gated_deltanet", "mamba2", "softmax"], ["gla", "mamba2"]))
def test_threads_that_encode_their_own_channels(kind: str) -> None:
    """Each thread encodes the channels that it has written, where channels have thresholds."""
    coding = Coding("calibrated", spikes=0.5, weights="int8")
    made = convert(model_of(kind), coding, text(4000), windows=4, length=32).execute()
    tokens = text(7, 1)
    one = Decoder(made.model)
    assert_same(first := decoded(one, tokens), stepped(made.model, tokens))
    for threads in (2, 3):
        assert torch.equal(decoded(Decoder(made.model, threads=threads), tokens), first)


@pytest.mark.parametrize(("scheme", "meets"), [("calibrated", 2), ("ternary", 4)])
def test_how_often_threads_meet(scheme: str, meets: int) -> None:
    """Behind mixer and feed-forward layer; where a token's threshold is of all channels, in front of them, too.

    Heads and blocks of columns are dealt alike where there are enough of both.
    """
    model = LanguageModel(LanguageConfig((MixerSpec("gla", {"num_heads": 2}),) * 2, width=256), 1).eval()
    made = convert(model, Coding(scheme, spikes=0.5, weights="int8"), text(4000), windows=2, length=16)
    decoder = Decoder(made.model, threads=2)
    assert [int(own[:, MEET].sum()) for own in decoder._programs[1].lists] == [2 * meets] * 2


@pytest.mark.parametrize("k", [0.5, 6.0])  # few rows are added, or all are multiplied
def test_a_batch_is_its_sequences_one_by_one(k: float) -> None:
    made = convert(model_of("gla"), Coding("ternary", k=k, weights="int8")).execute()
    tokens = text(6, 16)
    batch = decoded(Decoder(made.model, 16), tokens)
    one = Decoder(made.model)
    for i in range(16):
        one.reset()
        assert torch.equal(decoded(one, tokens[:, i : i + 1]), batch[:, i : i + 1])


@pytest.mark.parametrize("weights", ["int8", "float32"])
def test_counts_of_hundreds_are_exact(weights: str) -> None:
    """Beyond +-127 they escape the list."""
    made = convert(model_of("gla"), Coding("ternary", k=300.0, weights=weights)).execute()
    tokens = text(6, 2)
    assert_same(decoded(Decoder(made.model, 2), tokens), stepped(made.model, tokens))


@pytest.mark.slow
def test_a_window_of_all_tokens_grows() -> None:
    model = model_of("softmax", {"num_heads": 2})
    tokens = text(300, 1)
    decoder = Decoder(model, threads=2)
    assert_same(decoded(decoder, tokens)[::20], stepped(model, tokens)[::20])
    assert decoder.state_bytes == 2 * 512 * 2 * 32 * 4


def test_long_streams_and_reset() -> None:
    """A ring of keys that went round, positions, and a fresh start."""
    made = convert(model_of("window"), Coding("ternary")).execute()
    tokens = text(20, 1)
    decoder = Decoder(made.model)
    first = decoded(decoder, tokens)
    assert_same(first, stepped(made.model, tokens))
    assert decoder.state_bytes == 2 * 7 * 2 * 2 * 8 * 4  # layers, tokens, k and v, heads, channels, bytes
    decoder.reset()
    assert torch.equal(decoded(decoder, tokens), first)


@torch.no_grad()
def test_generated_text_is_that_of_the_model() -> None:
    made = convert(model_of("gla"), Coding("ternary")).execute()
    compiled = list(generate_tokens(Decoder(made.model), b"abc", Sampling(30)))
    assert [token for token, _ in compiled] == [token for token, _ in generate_tokens(made.model, b"abc", Sampling(30))]
    assert {size for _, size in compiled} == {Decoder(made.model).state_bytes}


@pytest.mark.data
def test_trained_checkpoints(data_root: Any) -> None:
    """Models of flash-linear-attention, in spikes."""
    for name in ("gla", "gated_deltanet", "rwkv7", "mamba2"):
        made = convert(read_model(data_root / "checkpoints" / name), Coding("ternary")).execute()
        tokens = torch.randint(made.model.config.vocabulary, (6, 1), generator=torch.Generator().manual_seed(1))
        assert_same(decoded(Decoder(made.model), tokens), stepped(made.model, tokens))


def _large() -> None:
    model = model_of("gla")
    with torch.no_grad():
        model.layers[0].norm.weight.fill_(10.0)  # type: ignore[operator]
    made = convert(model, Coding("ternary"))
    made.layers["layers.0.mixer.q_proj"].coder = Coder("ternary", torch.ones(1), k=9e5)
    Decoder(made.model).step([1])


def _beyond() -> None:
    scaling = {"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 2}
    decoder = Decoder(model_of("softmax", {"num_heads": 2, "rope_scaling": scaling}))
    for token in (1, 2, 3):
        decoder.step([token])


def _not_finite() -> None:
    made = convert(model_of("gla"), Coding("ternary"))
    with torch.no_grad():
        made.model.embeddings.weight[7] = torch.inf
    Decoder(made.model).step([7])


def _dense_not_finite() -> None:
    model = model_of("gla")
    with torch.no_grad():
        model.lm_head.weight[3] = torch.nan
    list(generate_tokens(Decoder(model), b"a", Sampling(1, temperature=0.0)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Decoder(convert(model_of("gla"))), r"Decoder.model: must be a LanguageModel; .*\(got Converted\)"),
        (lambda: Decoder(model_of("gla"), 17), r"Decoder.tokens: must be 1 to 16 side by side \(got 17\)"),
        (lambda: Decoder(model_of("gla"), threads=0), r"Decoder.threads: must be at least 1 \(got 0\)"),
        (lambda: Decoder(model_of("gla")).step([256]), r"token: must be >= 0 and < 256 \(got 256\)"),
        (lambda: Decoder(model_of("gla")).step([1, 2]), r"tokens: must be 1, one of each sequence \(got 2\)"),
        (_not_finite, "activations: must be finite"),
        (_dense_not_finite, r"logits: must be finite: look for NaN or infinity in the model's weights"),
        (_large, "counts are so large that an int32 sum could overflow; use float32 weights"),
        (_beyond, "rope_scaling: its rates are known for 2 tokens; reset"),
    ],
)
def test_what_a_decoder_cannot_step_is_refused_by_name(call: Any, words: str) -> None:
    with pytest.raises(NeurosimInputError, match=words):
        call()


def test_nothing_is_allocated_between_tokens() -> None:
    import tracemalloc

    decoder = Decoder(convert(model_of("gla"), Coding("ternary")).model)
    tokens = np.array([3])
    decoder.step(tokens)
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    steps = 1000
    for _ in range(steps):
        decoder.step(tokens)
    grown = sum(each.size_diff for each in tracemalloc.take_snapshot().compare_to(before, "filename"))
    tracemalloc.stop()
    # The least object of Python takes 16 bytes; a few kB are of tracemalloc and of what earlier tests left behind.
    assert grown < 16 * steps


EXPERTS = [
    ExpertsSpec(5, 2, 24),
    ExpertsSpec(6, 2, 24, 16, gated=True, normalise=False, scale=1.5),
    ExpertsSpec(6, 3, 24, 16, scores="sigmoid", groups=3, top_groups=2),
]


@pytest.mark.parametrize("spec", EXPERTS, ids=["softmax", "shared", "groups"])
def test_experts(spec: ExpertsSpec) -> None:
    model = model_of("gla", experts=spec, dense_layers=(0,))
    tokens = text(8, 3)
    for name, p in model.named_parameters():
        if "router.bias" in name:
            torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(3))
    assert_same(decoded(Decoder(model, 3), tokens), stepped(model, tokens))
    made = convert(model, Coding("ternary", k=3.0, weights="int8")).execute()
    one = decoded(Decoder(made.model, 3), tokens)
    assert_same(one, stepped(made.model, tokens))
    assert torch.equal(decoded(Decoder(made.model, 1, 2), tokens[:, :1]), one[:, :1])
    assert torch.equal(decoded(Decoder(made.model, 3, 2), tokens), one)


def test_weights_lie_on_large_pages() -> None:
    enabled = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not enabled.is_file() or "[never]" in enabled.read_text():
        pytest.skip("transparent large pages are off")
    array = Weights().zeros((8 * 2**20,), np.uint8)
    array.fill(1)
    mapping: list[str] = []  # of the array: a line of addresses, then one a value
    for line in Path("/proc/self/smaps").read_text().splitlines():
        borders = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if borders is not None:
            inside = int(borders[1], 16) <= array.ctypes.data < int(borders[2], 16)
            mapping = [line] if inside else mapping
            if mapping and not inside:
                break
        elif mapping:
            mapping.append(line)
    assert mapping[0].split()[1] == "rw-p"
    values = dict(line.split(":", 1) for line in mapping[1:])
    assert int(values["AnonHugePages"].split()[0]) >= 2 * 2**10  # kB
