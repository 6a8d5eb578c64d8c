"""Weights of 4 bits: kept from files or rounded, the same simulated, executed, compiled and saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.decoding import assert_same, assert_same_but, decoded, model_of, stepped, text
from helpers.samples import sampled
from torch import Tensor, nn

from neurosim.base import NeurosimFormatError
from neurosim.language import KINDS, Coding, Converted, Decoder, LanguageModel, convert, read_converted, write_converted
from neurosim.language.attention.gguf.blocks import BlockTensor
from neurosim.language.conversion import int4
from neurosim.language.conversion.linear import SpikedLinear


def q4_1(weight: Tensor) -> BlockTensor:
    """Return weights in blocks with minima: their range in 15 steps."""
    groups = weight.reshape(len(weight), -1, int4.CHANNELS)
    low = groups.amin(2).half()
    step = ((groups.amax(2) - low) / 15).half()
    q = ((groups - low[..., None]) / step[..., None]).round().clamp(0, 15).to(torch.uint8)
    packed = q[..., :16] | q[..., 16:] << 4
    scales = torch.stack([step, low], -1).view(torch.uint8)
    return BlockTensor(int4.Q4_1, torch.cat([scales, packed], -1).flatten(1))


def in_blocks_of_a_file(model: LanguageModel) -> LanguageModel:
    """Give the matrices of a model blocks with minima, as a file has them."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module.in_features % 32 == 0 and name != "lm_head":
            module.weight = nn.Parameter(q4_1(module.weight.detach()), requires_grad=False)
    return model


def of_four_bits(made: Converted) -> list[SpikedLinear]:
    return [layer for layer in made.layers.values() if layer.weight_type == "int4"]


@pytest.mark.parametrize("kind", sampled(sorted(KINDS), ["gla", "softmax"]))
def test_compiled_step_is_the_models_own(kind: str) -> None:
    """Neither the batch nor threads change a bit, and steps of a prompt read at once are those of one token."""
    tokens = text(5, 16)
    for model in (model_of(kind), in_blocks_of_a_file(model_of(kind))):
        made = convert(model, Coding(k=6.0, head=True, weights="int4"))
        if not of_four_bits(made):
            assert kind in ("lssl", "ssm")
            continue
        simulated = stepped(made.model, tokens)
        first = decoded(Decoder(made.model, 16), tokens)
        close = 1e-4 if kind in ("memora", "titans") else 2e-5
        # Blocks are summed in float32: in one of the 16 sequences a value may fall on the other side of two counts.
        assert_same_but(1, first, simulated, close)
        for fewer, threads in ((1, 2), (3, 1), (3, 2)):
            assert torch.equal(decoded(Decoder(made.model, fewer, threads), tokens[:, :fewer]), first[:, :fewer])


def test_a_prompt_is_read_as_steps_read_it() -> None:
    model = in_blocks_of_a_file(model_of("gla"))
    made = convert(model, Coding(k=6.0, head=True, weights="int4"))
    tokens = text(70)
    whole = Decoder(made.model, chunk=64)
    steps = Decoder(made.model)
    expected = [steps.step([int(token)]).copy() for token in tokens][-1]
    assert (whole.read(tokens.numpy()) == expected[0]).all()


def test_blocks_of_a_file_are_kept() -> None:
    model = in_blocks_of_a_file(model_of("gla"))
    made = convert(model, Coding(weights="int4"), text(600), windows=4, length=32)
    for name, layer in made.layers.items():
        dense = model.get_submodule(name)
        assert isinstance(dense, nn.Linear)
        if layer.weight_type == "int4":
            assert torch.equal(layer.dense(), dense.weight.float())
        else:
            assert dense.in_features % 32 or name == "lm_head"
    assert of_four_bits(made)


def test_thresholds_of_channels_scale_the_weights() -> None:
    """Blocks are of weights times scales where channels have thresholds; the step is the same."""
    model = in_blocks_of_a_file(model_of("gla"))
    tokens = text(6, 3)
    done: list[tuple[int, int]] = []
    made = convert(
        model,
        Coding("calibrated", spikes=1.5, weights="int4"),
        text(600),
        windows=4,
        length=32,
        on_rounded=lambda part, total: done.append((part, total)),
    )
    assert done == [(1, 2), (2, 2)]
    first = decoded(Decoder(made.model, 3), tokens)
    assert float(first.std()) > 0.01
    assert_same(first, stepped(made.model, tokens))
    assert torch.equal(decoded(Decoder(made.model, 1, 2), tokens[:, :1]), first[:, :1])


def test_counts_beyond_bytes_are_exact() -> None:
    """Escapes add their rows, whatever their size."""
    model = in_blocks_of_a_file(model_of("gla"))
    made = convert(model, Coding(k=300.0, weights="int4"))
    tokens = text(4, 2)
    with made.counting() as histograms:
        expected = stepped(made.model, tokens)
    assert any(histogram.beyond for histogram in histograms.values())
    assert_same(decoded(Decoder(made.model, 2), tokens), expected)


def test_compensated_rounding_loses_less_on_its_inputs() -> None:
    draws = torch.Generator().manual_seed(3)
    # Inputs of few directions: what one weight loses, others can make up for.
    inputs = torch.randn(400, 24, generator=draws) @ torch.randn(24, 96, generator=draws)
    weight = torch.randn(40, 96, generator=draws)
    errors = []
    for blocks in (int4.round_to_nearest(weight), int4.round_compensated(weight, inputs.T @ inputs)):
        errors.append(float((inputs @ (blocks.decoded() - weight).T).square().mean()))
    assert errors[1] < 0.4 * errors[0]
    # Without text every channel counts alike, and rounding to the nearest loses least.
    plain = int4.round_compensated(weight, torch.eye(96)).decoded()
    assert torch.equal(plain, int4.round_to_nearest(weight).decoded())


def test_rounding_to_the_nearest_is_as_close_as_sixteen_values_allow() -> None:
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(2))
    weight[3] = 0
    found = int4.round_to_nearest(weight)
    q, steps, minima = int4.unpacked(found)
    assert minima is None
    assert torch.equal((q.float() - 8) * steps.float().repeat_interleave(32, 1), found.decoded())
    assert not found.decoded()[3].any()
    inside = (q > 0) & (q < 15)
    error = (found.decoded() - weight).abs()
    # Half a step, which is itself rounded to 16 bits.
    assert bool((error[inside] <= 0.5001 * steps.float().abs().repeat_interleave(32, 1)[inside]).all())
    # 16 levels over the range of 32 normal values leave a hundredth of their power.
    assert float(error.square().mean() / weight.square().mean()) < 0.01


@pytest.mark.parametrize("from_file", [False, True])
def test_saved_and_read(from_file: bool, tmp_path: Path) -> None:
    model = model_of("gla")
    if from_file:
        in_blocks_of_a_file(model)
    made = convert(model, Coding(weights="int4", head=True), text(600), windows=4, length=32)
    tokens = text(5, 2)
    write_converted(tmp_path, made)
    again = read_converted(tmp_path)
    for name, layer in made.layers.items():
        assert again.layers[name].has_blocks == layer.has_blocks == (layer.weight_type == "int4")
    assert torch.equal(stepped(again.model, tokens), stepped(made.model, tokens))
    assert torch.equal(decoded(Decoder(again.model, 2), tokens), decoded(Decoder(made.model, 2), tokens))


def test_damaged_blocks_are_refused(tmp_path: Path) -> None:
    made = convert(model_of("gla"), Coding(weights="int4"))
    layer = of_four_bits(made)[0]
    blocks = layer.stored_int4().blocks
    blocks[0, :2] = torch.tensor([0, 0x7E], dtype=torch.uint8)  # NaN in float16
    write_converted(tmp_path, made)
    with pytest.raises(NeurosimFormatError, match=r"mixer\.q_proj\.weight' must have finite steps and minima"):
        read_converted(tmp_path)
    layer.store_int4(BlockTensor(int4.Q4_0, blocks[:, :18].contiguous()))
    layer.weight.blocks = blocks[:, :17].contiguous()
    write_converted(tmp_path, made)
    with pytest.raises(NeurosimFormatError, match=r"rows of 32 weights must be blocks of Q4_0 or Q4_1"):
        read_converted(tmp_path)
