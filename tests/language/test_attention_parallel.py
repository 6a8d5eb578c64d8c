"""Two processes with half of a sequence each against one with all of it: values and gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from helpers.attention_kinds import SMALL
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from neurosim.base import NeurosimInputError
from neurosim.language import KINDS as EVERY
from neurosim.language import Depth, LanguageConfig, LanguageModel, LanguageTraining, MixerSpec, build, train_bytes
from neurosim.language.attention.checkpoint import read_model
from neurosim.language.attention.parallel import forward_slice

pytestmark = pytest.mark.slow

KINDS = {
    "comba": {"num_heads": 2, "head_dim": 8},
    "deltanet": {"num_heads": 2},
    "deltaproduct": {"num_heads": 2, "head_dim": 8},
    "gam": {"slots": 6},
    "gated_deltanet": {"num_heads": 2, "head_dim": 8},
    "gla": {"num_heads": 2, "conv_size": 4},
    "gsa": {"num_heads": 2, "num_slots": 5, "conv_size": 3},
    "hgrn": {},
    "hgrn2": {"expand_ratio": 8},
    "kda": {"num_heads": 2, "head_dim": 8},
    "latent": {"num_heads": 2, "kv_lora_rank": 6, "qk_nope_head_dim": 4, "qk_rope_head_dim": 2, "v_head_dim": 4},
    "linear": {"num_heads": 2},
    "local_linear": {"num_heads": 2},
    "mamba": {"state_size": 4},
    "mamba2": {"head_dim": 16, "state_size": 8, "use_bias": True},
    "mom": {"num_heads": 2, "head_dim": 8, "num_memories": 6, "topk": 1},
    "plstm": {"num_heads": 2, "conv_size": 2},
    "retention": {"num_heads": 2},
    "rwkv5": {"head_dim": 8},
    "rwkv6": {"head_dim": 8, "mix_low_rank_dim": 4, "decay_low_rank_dim": 4},
    "rwkv7": {"head_dim": 8, "decay_low_rank_dim": 4, "a_low_rank_dim": 4, "v_low_rank_dim": 4, "gate_low_rank_dim": 4},
    "softmax": {"num_heads": 2, "num_kv_heads": 1},
    "sse": {"num_heads": 2, "head_dim": 8},
    "ssm": {"state_size": 4},
    "window": {"num_heads": 2, "window_size": 27},
    "window_linear": {"attention": {"num_heads": 2}, "window_size": 7, "meta_tokens": 2},
}
HYBRIDS = {"three to one": ("gla", "gla", "gla", "softmax"), "window, routed": ("window", "mom", "deltanet")}
LENGTH = 40
TEXT = bytes(range(97, 123)) * 40
TRAINING = LanguageTraining(steps=6, batch=2, length=16, warmup=2, every=0)
WIDTH = 16


def model_of(kind: str) -> LanguageModel:
    mlp = "channel_mix" if kind == "rwkv7" else "gated"
    layers = HYBRIDS.get(kind, (kind,) * 2)
    config = LanguageConfig(tuple(MixerSpec(name, KINDS[name]) for name in layers), 32, WIDTH, mlp, 32)
    model = LanguageModel(config, seed=3).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()), dtype=p.dtype))
    return model


def byte_model() -> LanguageConfig:
    layers = (MixerSpec("gla", {"num_heads": 2, "conv_size": 3}), MixerSpec("softmax", {"num_heads": 2}))
    return LanguageConfig(layers, width=WIDTH, hidden=32)


def tokens_of() -> torch.Tensor:
    return torch.randint(32, (2, LENGTH + 1), generator=torch.Generator().manual_seed(1))


def gradient(model: LanguageModel) -> torch.Tensor:
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return torch.cat([part.flatten() for part in parts])


def half(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        tokens = tokens_of()
        cut = LENGTH // 2
        part = slice(rank * cut, (rank + 1) * cut)
        for kind in (*KINDS, *HYBRIDS):
            model = model_of(kind)
            logits = forward_slice(model, tokens[:, :-1][:, part])
            F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:][:, part].flatten(), reduction="sum").backward()
            grads = gradient(model)
            dist.all_reduce(grads)
            save_file({"logits": logits.detach(), "grads": grads}, f"{folder}/{kind}.{rank}.safetensors")
        trained, loss = train_bytes(TEXT, byte_model(), TRAINING, folder=f"{folder}/model", sliced=True)
        weights = {name: p.detach().clone() for name, p in trained.named_parameters()}
        save_file({"loss": torch.tensor([loss]), **weights}, f"{folder}/trained.{rank}.safetensors")
        for settings, rule in (
            ({"length": 15}, "must divide by the 2 processes"),
            ({"objective": "mixture", "length": 48}, "next_t"),
        ):
            with pytest.raises(NeurosimInputError, match=rule):
                train_bytes(TEXT, byte_model(), replace(TRAINING, **settings), sliced=True)
        dist.barrier()
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("halves")
    mp.spawn(half, args=(str(folder),), nprocs=2)
    return folder


def test_a_training_over_two_processes_is_that_of_one(halves: Path) -> None:
    model, loss = train_bytes(TEXT, byte_model(), TRAINING)
    for rank in range(2):
        trained = load_file(halves / f"trained.{rank}.safetensors")
        assert float(trained.pop("loss")) == pytest.approx(loss, rel=1e-4)
        # Sums are made in another order: near, not equal.
        for name, p in model.named_parameters():
            torch.testing.assert_close(trained[name], p.detach(), rtol=1e-3, atol=1e-4)
    written = read_model(halves / "model")
    assert torch.equal(written.lm_head.weight, load_file(halves / "trained.0.safetensors")["lm_head.weight"])


@pytest.mark.parametrize("kind", [*KINDS, *HYBRIDS])
def test_two_processes_equal_one(halves: Path, kind: str) -> None:
    model = model_of(kind)
    tokens = tokens_of()
    logits, _ = model(tokens[:, :-1])
    F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum").backward()
    grads = gradient(model)
    parts = [load_file(halves / f"{kind}.{rank}.safetensors") for rank in range(2)]
    torch.testing.assert_close(torch.cat([part["logits"] for part in parts], 1), logits.detach(), rtol=1e-9, atol=1e-9)
    for part in parts:
        torch.testing.assert_close(part["grads"], grads, rtol=1e-8, atol=1e-8)


def test_every_kind_is_cut_or_says_why_not() -> None:
    refused = {kind for kind in EVERY if build(kind, 24, Depth(1, 2), SMALL[kind]).why_not_parallel}
    assert refused | set(KINDS) == set(EVERY) and not refused & set(KINDS)


@pytest.mark.parametrize(
    "kind, options, why", [("mom", {"library_order": True}, "order of the tokens"), ("alrnn", {}, "rectified")]
)
def test_kinds_that_cannot_be_cut_are_refused_by_name(kind: str, options: dict[str, bool], why: str) -> None:
    model = LanguageModel(LanguageConfig((MixerSpec("gla"), MixerSpec(kind, options)), 32, 64))
    with pytest.raises(NeurosimInputError, match=f"layer 1 .*: cannot be cut over processes: .*{why}"):
        forward_slice(model, torch.zeros(1, 8, dtype=torch.int64))
