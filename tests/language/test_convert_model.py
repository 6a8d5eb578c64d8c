"""Converted models: executed equals simulated, for every kind; states, streams, and what cannot be converted."""

from __future__ import annotations

import pytest
import torch
from helpers.convert_models import model_of, text
from helpers.samples import sampled
from helpers.triton_tools import cases, interpret, on_gpu
from torch import Tensor, nn

from neurosim import NeurosimError
from neurosim.base import NeurosimInputError
from neurosim.language import KINDS, SCHEMES, Coding, Converted, LanguageModel, SpikedLinear, Tuning, convert
from neurosim.language.conversion.coding import ternary
from neurosim.language.conversion.comparison import check_execution
from neurosim.language.conversion.generate import Sampling, draw_token, generate_tokens
from neurosim.language.conversion.linear import integer_product
from neurosim.language.conversion.spiked_mixer import SpikedMixer


@pytest.mark.parametrize("scheme", sampled(SCHEMES, set(SCHEMES) - {"learned"}))
@torch.no_grad()
def test_executed_with_int8_weights_is_simulated_bit_for_bit(scheme: str, dense: LanguageModel) -> None:
    made = convert(dense, Coding(scheme, weights="int8", head=True), text(), windows=4, length=32)
    tokens = text(90, seed=3).view(2, 45)
    simulated, _ = made.model(tokens)
    executed, _ = made.execute(threads=2).model(tokens)
    assert torch.equal(simulated, executed)
    assert not torch.equal(simulated, dense(tokens)[0])


@pytest.mark.parametrize("largest", [3, 127, 128, 40_000, 2**22])
def test_products_of_integers_are_exact(largest: int) -> None:
    """Counts of one, two and more digits; some tokens have none beyond int8."""
    generator = torch.Generator().manual_seed(largest)
    counts = torch.randint(-3, 4, (5, 7, 33), generator=generator)
    counts[1:3] = torch.randint(-largest, largest + 1, (2, 7, 33), generator=generator)
    counts[1, 0, :2] = torch.tensor([largest, -largest])
    rows = torch.randint(-127, 128, (20, 33), generator=generator, dtype=torch.int8)
    assert torch.equal(integer_product(counts.float(), rows).long(), counts @ rows.long().T)


@torch.no_grad()
def test_large_layers_are_simulated_by_products_of_integers() -> None:
    """Executed bit for bit, with a token of massive activations; NaN is passed on."""
    generator = torch.Generator().manual_seed(5)
    dense = nn.Linear(600, 500, bias=False)
    dense.weight.copy_(torch.randn(500, 600, generator=generator))
    layer = SpikedLinear(dense, ternary(8.0), "int8")
    x = torch.randn(40, 600, generator=generator)
    x[3, 7] = 4000.0
    simulated = layer(x)
    assert layer._values(integers=True)[0].dtype == torch.int8
    layer.execute(True)
    assert torch.equal(layer(x), simulated)
    layer.execute(False)
    x[5, 5] = torch.nan
    assert bool(layer(x)[5].isnan().all()) and torch.equal(layer(x)[:5], simulated[:5])


@torch.no_grad()
def test_the_simulated_form_keeps_what_it_rounds_until_weights_change(dense: LanguageModel) -> None:
    made = convert(dense, Coding("ternary"))
    tokens = text(20)[None]
    layer = made.layers["layers.0.mixer.q_proj"]
    x = torch.randn(3, layer.in_features, generator=torch.Generator().manual_seed(1))
    first = layer(x)
    made.model(tokens)
    assert layer._values(integers=False)[0] is layer._values(integers=False)[0]
    layer.weight[:, 0] += 1.0
    fresh = SpikedLinear(nn.Linear(layer.in_features, layer.out_features, bias=False), layer.coder, "int8")
    fresh.weight.copy_(layer.weight)
    assert torch.equal(layer(x), fresh(x)) and not torch.equal(layer(x), first)
    with torch.enable_grad():
        layer.weight.requires_grad_()
        layer(x).sum().backward()
    assert layer.weight.grad is not None and bool(layer.weight.grad.abs().sum() > 0)
    layer.weight.requires_grad_(False)


@torch.no_grad()
def test_executed_with_float_weights_is_simulated_within_rounding(dense: LanguageModel) -> None:
    """Layer by layer on the same inputs: a count at a tie may flip behind another order of sums."""
    made = convert(dense, Coding("ternary", weights="float32"))
    inputs: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> None:
        layer = made.layers[name]
        layer.register_forward_hook(lambda m, given, out: inputs.__setitem__(name, (given[0], out)))

    for name in made.layers:
        keep(name)
    made.model(text(64)[None])
    simulated = dict(inputs)
    made.execute()
    for name, (x, out) in simulated.items():
        torch.testing.assert_close(made.layers[name](x), out, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", sampled(sorted(KINDS), ["gla", "gated_deltanet", "mamba2", "rwkv7", "window"]))
@torch.no_grad()
def test_every_kind_is_converted_streamed_and_executed(kind: str) -> None:
    model = model_of(kind, "gla")
    made = convert(model, Coding("ternary", k=8.0, weights="int8"))
    tokens = text(24, seed=5).view(2, 12)
    whole, _ = made.model(tokens)
    state = None
    steps = []
    for t in range(12):
        logits, state = made.execute().model.step(tokens[:, t], state)
        steps.append(logits)
    # Another order of sums in the chunked recurrence may flip single counts.
    difference = (torch.stack(steps, 1) - whole).abs()
    assert float(difference.median()) < 0.02 * float(whole.abs().max())
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"]
    assert sorted(made.layers) == sorted(linear)


NO_QK = ("alrnn", "gam", "hgrn", "lssl", "paragru", "paralstm", "seqboat", "ssm")
QK = [kind for kind in sorted(KINDS) if kind not in NO_QK]
# Kinds whose state is not updated lazily.
DENSE_STATE = ("latent", "mom", "rwkv5", "rwkv6", "softmax", "sse", "window")
DENSE_STATE += (
    "bmojo",
    "comba",
    "gsa",
    "hax",
    "local_linear",
    "memora",
    "moneta",
    "plstm",
    "scout",
    "sea",
    "tcnca",
    "titans",
    "titans_context",
    "titans_gate",
    "titans_layer",
    "yaad",
)


@pytest.mark.parametrize("kind", sampled(QK, ["gla", "deltanet", "rwkv7"]))
@torch.no_grad()
def test_lazy_state_is_the_dense_state(kind: str) -> None:
    """q and k in spikes: one mixer, lazily and densely, over two calls with the state carried on."""
    model = model_of(kind)
    made = convert(model, Coding("ternary", k=1.0, qk=True))
    mixer = made.model.mixers()[0]
    x = torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(1))
    updates = mixer.row_updates()
    assert (updates is None) == (kind in DENSE_STATE)
    if updates is None:
        assert "densely" in dict(made.dense)["layers.0.mixer"] or kind == "window"
        return
    lazy = SpikedMixer(mixer, 1)
    shared: list[dict[str, Tensor]] = [{}, {}]
    first, state = mixer(x[:, :11], None, shared[0])
    second, _ = mixer(x[:, 11:], state, shared[0])
    mine, own = lazy(x[:, :11], None, shared[1])
    after, _ = lazy(x[:, 11:], own, shared[1])
    torch.testing.assert_close(mine, first, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after, second, rtol=1e-4, atol=1e-5)
    with made.counting() as histograms:
        mixer(x)
    assert 0.05 < histograms["layers.0.mixer.codes.k"].silent() / histograms["layers.0.mixer.codes.k"].entries < 0.95


@torch.no_grad()
def test_a_coded_state_is_coded_after_every_token() -> None:
    made = convert(model_of("gla"), Coding("ternary", k=4.0, state=True))
    with made.counting() as histograms:
        _, state = made.model(text(9)[None])
    assert histograms["layers.0.mixer.codes.state"].entries == 9 * state[0]["memory"].numel()
    rows = state[0]["memory"]
    level = rows.abs().amax(-1, keepdim=True).clamp(min=1e-9)
    assert all(
        len(torch.unique((r / m * 1e4).round())) < r.numel() for r, m in zip(rows[0, 0], level[0, 0], strict=True)
    )


@torch.no_grad()
def test_streams_with_constant_memory(dense: LanguageModel) -> None:
    made = convert(dense, Coding("ternary", weights="int8", qk=True)).execute()
    sizes = [size for _, size in generate_tokens(made.model, b"abc", Sampling(40))]
    assert len(sizes) == 40 and len(set(sizes)) == 1


def test_draws_depend_on_seed_and_position_alone() -> None:
    logits = torch.randn(256, generator=torch.Generator().manual_seed(0))
    tokens = [draw_token(logits, Sampling(seed=4, temperature=1.0), position) for position in range(400)]
    assert tokens == [draw_token(logits, Sampling(seed=4, temperature=1.0), position) for position in range(400)]
    assert len(set(tokens)) > 50
    assert {draw_token(logits, Sampling(temperature=0.0), p) for p in range(5)} == {int(logits.argmax())}
    top = {draw_token(logits, Sampling(temperature=5.0, top=3), p) for p in range(200)}
    assert top == set(logits.topk(3).indices.tolist())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Coding("bitwise"), "spike coding scheme|Coding.scheme: unknown name 'bitwise'"),
        (lambda: Coding(k=0.0), r"Coding.k: must be > 0 and < 1e6 \(got 0.0\)"),
        (lambda: Coding(spikes=-1.0), r"Coding.spikes: must be > 0 and < 8 a channel"),
        (lambda: Coding(expansion="unary_binary"), "Coding.expansion: must have a sign"),
        (lambda: Coding(weights="int2"), "unknown name 'int2'"),
        (lambda: Coding("calibrated", shrink=0.2), "finds its own"),
        (lambda: Coding(price=0.5), r"Coding.price: must be 0 but for scheme 'ternary' in canonical digits"),
        (lambda: Coding(price=2.0, expansion="canonical"), r"Coding.price: must be >= 0 and <= 1 squared threshold"),
        (lambda: Coding("stbif", balance=True), r"Coding.balance: must be false but for scheme 'ternary'"),
        (
            lambda: convert(model_of("gla"), Coding(balance=True)),
            "takes a k for each group of layers from text",
        ),
        (lambda: convert(model_of("gla"), Coding("calibrated")), "takes thresholds from text; give a text"),
        (
            lambda: convert(model_of("gla"), Coding("stbif"), text(40)),
            "calibration text: must have more than 129 tokens",
        ),
        (lambda: convert(model_of("ssm"), Coding(qk=True)), "DiagonalSSM has no q and k to code"),
        (lambda: convert(model_of("softmax"), Coding(state=True)), "SoftmaxAttention holds earlier tokens, .*leave"),
        (lambda: Sampling(temperature=-1.0), "Sampling.temperature: must be >= 0"),
        (lambda: convert(_broken(), Coding("ternary")), "tensor 'norm.weight': holds NaN or infinity"),
        (lambda: list(generate_tokens(model_of("gla"), b"", Sampling())), "prompt: must have at least one byte"),
        (lambda: Tuning(steps=0).check(), r"Tuning.steps: must be > 0 \(got 0\)"),
    ],
)
def test_errors_name_the_setting(build: object, words: str) -> None:
    with pytest.raises(NeurosimError, match=words):
        build()  # type: ignore[operator]


def _broken() -> LanguageModel:
    model = model_of("gla")
    with torch.no_grad():
        model.norm.weight[3] = float("nan")
    return model


def test_a_mixer_without_linear_layers_cannot_be_converted() -> None:
    model = model_of("gla")
    for name in ("q_proj", "k_proj", "v_proj", "g_proj", "o_proj", "gk_proj"):
        setattr(model.layers[0].mixer, name, nn.Identity())
    with pytest.raises(NeurosimInputError, match=r"layers.0.mixer: a GLA holds no linear layer to code"):
        convert(model, Coding("ternary"))


def test_the_dense_model_is_left_alone(dense: LanguageModel) -> None:
    made = convert(dense, Coding("ternary", qk=True))
    assert isinstance(made, Converted)
    assert not any(isinstance(m, SpikedLinear) for m in dense.modules())
    assert dense.mixers()[0].codes.q is None


CASES = cases("convert_cases")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_on_a_card_in_the_interpreter(case: str) -> None:
    interpret("convert_cases", case)


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_on_a_gpu(case: str) -> None:
    on_gpu("convert_cases", case)


def test_large_k_is_exact_or_refused() -> None:
    """Sums beyond 2^24 are the same executed and simulated; those that could pass 32 bits are refused."""
    model = model_of("gla")
    made = convert(model, Coding("ternary", k=2e4))
    tokens = torch.arange(24)[None]
    assert check_execution(made, tokens).largest == 0.0
    with pytest.raises(NeurosimInputError, match=r"Coding\.k: must be < 528415 for the 32 channels of .*q_proj"):
        convert(model, Coding("ternary", k=9e5))


def test_activations_that_are_not_finite_name_the_layer() -> None:
    made = convert(model_of("gla"), Coding("ternary"))
    with torch.no_grad():
        made.model.layers[0].mlp_norm.weight.fill_(torch.nan)  # type: ignore[union-attr]
    with pytest.raises(NeurosimInputError, match=r"layers\.0\.mlp\.gate_proj: its inputs hold NaN"), made.counting():
        made.model(torch.arange(9)[None])
