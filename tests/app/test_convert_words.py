"""Models of any vocabulary from a Hugging Face folder with its tokenizer to text in spikes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import rwkv
from helpers.recorded import value_of
from helpers.samples import sampled
from helpers.vocabularies import WORLD_LINES, train_json
from safetensors.torch import save_file

from neurosim.app import RunOptions
from neurosim.app.report import numbers
from neurosim.app.runs.convert import KIND as CONVERT
from neurosim.app.runs.convert import ConversionKind
from neurosim.app.runs.convert.config import ChoiceSettings, ConvertConfig, ReadingSettings
from neurosim.app.runs.convert.overview import overview_of
from neurosim.app.runs.convert.page import grouped
from neurosim.app.runs.convert.result import ConversionResult, Operator
from neurosim.app.runs.convert.source import load
from neurosim.app.runs.convert.text import write_text
from neurosim.app.runs.frame.lifecycle import start
from neurosim.app.runs.frame.terminal import printable
from neurosim.base import NeurosimInputError
from neurosim.base.measure.estimates import EnergyRange
from neurosim.base.plain import from_plain
from neurosim.language import LanguageModel, read_converted
from neurosim.language.attention.huggingface import READERS
from neurosim.language.attention.huggingface.config import CheckpointConfig
from neurosim.language.conversion.generate import Sampling
from neurosim.language.conversion.records import DenseEnergy, EnergyComparison, LayerCosts

WORDS = 32_000
CONFIGS: dict[str, dict[str, Any]] = {
    "gla": {"hidden_size": 16, "num_hidden_layers": 1, "num_heads": 2, "intermediate_size": 24},
    "llama": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2}
    | {"intermediate_size": 24, "head_dim": 4},
}
BRIEF = {
    "text": {"tokens": 60},
    "calibration": {"windows": 2, "length": 16},
    "report": {"layer_tokens": 0, "executed_tokens": 16, "timed_tokens": 16},
}


def hugging_face_folder(kind: str, folder: Path) -> None:
    """Write a model of this type with `WORDS` words in bfloat16, and a tokenizer of fewer."""
    train_json(folder, 1000)
    if kind == "rwkv6":
        values = {rwkv.hugging_face(name): v.bfloat16() for name, v in rwkv.tensors(6, WORDS).items()}
        (folder / "config.json").write_text(json.dumps(rwkv.hugging_face_config(6, WORDS)))
        save_file(values, folder / "model.safetensors")
        return
    reader = READERS[kind]
    config = CONFIGS[kind] | {"vocab_size": WORDS}
    model = LanguageModel(reader.config(CheckpointConfig(config)))
    tensors = {reader.theirs(name): value for name, value in model.state_dict().items()}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": kind}))
    values = {name: value_of(name, list(value.shape)).bfloat16() for name, value in tensors.items()}
    save_file(values, folder / "model.safetensors")


@pytest.mark.parametrize("kind", sampled([*CONFIGS, "rwkv6"], ["llama"]))
def test_from_a_folder_to_text_in_spikes(tmp_path: Path, kind: str) -> None:
    hugging_face_folder(kind, tmp_path / "model")
    options = RunOptions(out=tmp_path / "run", quiet=True)
    result = start(ConversionKind(tmp_path / "model"), from_plain(ConvertConfig, BRIEF), options)
    assert isinstance(result, ConversionResult) and result.unit == "token" and result.tokens == 60
    assert result.bytes_per_token is not None and 2 < result.bytes_per_token < 6
    assert result.per_byte(result.loss) == pytest.approx((result.loss or 0) / result.bytes_per_token)
    assert result.execution is not None and result.execution.largest == 0.0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "nats a token, " in page and " a byte" in page and "a token at a time" in page
    assert "Time of a token" in page and "compiled, one at a time; dense in float32" in page
    text_of_run = CONVERT.render_text(result)
    assert " a byte)" in text_of_run and "Same next token" in text_of_run
    text = write_text(tmp_path / "run", b"The list", Sampling(4), RunOptions(out=tmp_path / "text", quiet=True))
    assert text.prompt == "The list" and text.tokens == 4 and text.unit == "token" and text.spiking
    assert (tmp_path / "text" / "text.txt").read_bytes() == b"The list" + text.text.encode()


def test_a_model_without_a_tokenizer_reads_and_writes_token_ids(tmp_path: Path) -> None:
    hugging_face_folder("llama", tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    text = write_text(tmp_path / "model", b"5 31999 7", Sampling(3, seed=1), RunOptions(quiet=True))
    assert text.prompt == "5 31999 7" and len(text.text.split()) == 3
    with pytest.raises(NeurosimInputError, match=r"prompt: must have tokens of 0 to 31999 \(got 32000\)"):
        write_text(tmp_path / "model", b"32000", Sampling(3), RunOptions(quiet=True))
    with pytest.raises(NeurosimInputError, match=r"has 32000 words and no tokenizer.json or tokenizer.model; add its"):
        start(ConversionKind(tmp_path / "model"), from_plain(ConvertConfig, BRIEF), RunOptions(quiet=True))
    np.save(tmp_path / "ids.npy", np.arange(400) % 31999)
    brief = BRIEF | {"text": {"file": str(tmp_path / "ids.npy")}}
    facts = load(tmp_path / "model", from_plain(ConvertConfig, brief)).facts()
    assert facts.unit == "token" and facts.bytes_per_token is None  # the digits of ids are no text


@pytest.mark.slow
def test_a_pth_file_with_its_vocabulary_beside_it(tmp_path: Path) -> None:
    torch.save(rwkv.tensors(6, 300), tmp_path / "RWKV-x060.pth")
    (tmp_path / "rwkv_vocab_v20230424.txt").write_text(WORLD_LINES)
    text = write_text(tmp_path / "RWKV-x060.pth", b"and and", Sampling(3), RunOptions(quiet=True))
    assert text.prompt == "and and" and text.tokens == 3 and text.unit == "token"
    brief = from_plain(ConvertConfig, BRIEF | {"calibration": {"windows": 2, "length": 16}})
    done = start(ConversionKind(tmp_path / "RWKV-x060.pth"), brief, RunOptions(out=tmp_path / "run", quiet=True))
    assert any("64e-5 is taken" in line and "reading.norm_eps=1e-5" in line for line in done.remarks)
    stated = replace(brief, reading=ReadingSettings(norm_eps=1e-5))
    done = start(ConversionKind(tmp_path / "RWKV-x060.pth"), stated, RunOptions(out=tmp_path / "other", quiet=True))
    assert not any("64e-5" in line for line in done.remarks)
    assert read_converted(tmp_path / "other" / "model").model.layers[0].mixer.norm_eps == 1e-5
    assert write_text(tmp_path / "run", b"and and", Sampling(3), RunOptions(quiet=True)).spiking


def test_a_strength_beside_the_file_takes_the_place_of_its_loss(tmp_path: Path) -> None:
    """The config of a run that chose its strength has a loss: points of a sweep over k would all be chosen again."""
    file = tmp_path / "config.toml"
    file.write_text("[coding]\nk = 3.0\n\n[choice]\nloss = 0.02\ntrials = 4\n")
    assert ConvertConfig.configure_one(file).choice.loss == 0.02
    named = ConvertConfig.configure_one(file, ["coding.k=2.0"])
    assert (named.choice, named.coding.k) == (ChoiceSettings(), 2.0)
    both = ConvertConfig.configure_one(file, ["coding.k=2.0"], {"choice.loss": 0.01})
    assert (both.choice.loss, both.coding.k) == (0.01, 2.0)
    assert ConvertConfig.configure_one(None, ["coding.k=2.0"]).choice.loss is None
    assert ConvertConfig.configure_one().choice.loss == 0.01


def test_many_layers_are_summed_by_block_on_a_terminal() -> None:
    """All of them are on the page, and as many as fit on the terminal, too."""
    dense = DenseEnergy(None, None, {})
    energy = EnergyComparison(EnergyRange(1e-12, 2e-12), None, dense, dense, "horowitz45", "", {})

    def layer(name: str, spikes: float, reached: float) -> LayerCosts:
        operations = spikes * 40 * reached
        return LayerCosts(name, 4, 10, spikes, 0.5, 0.0, operations, 40 * reached, 0.0, 0.0, 0.0, energy)

    experts = [layer(f"layers.{i}.mlp.experts.{k}.up_proj", 1.0, 0.25) for i in range(2) for k in range(24)]
    few = ConversionResult(layers=(*experts[:47], layer("lm_head", 1.0, 1.0)))
    assert not overview_of(few).tables["layers"].short
    result = ConversionResult(layers=(*experts, layer("layers.1.mixer.q_proj", 3.0, 1.0), layer("lm_head", 1.0, 1.0)))
    table = overview_of(result).tables["layers"]
    assert [row[0] for row in table.rows] == [layer.name for layer in result.layers]
    assert [row[0] for row in table.short] == ["layers.0, 24 layers", "layers.1, 25 layers", "lm_head"]
    # 24 experts of 4 channels, each for a quarter of the tokens, and one layer for all: (24 + 3 * 4) / (24 + 4).
    assert [row[2] for row in table.short] == ["1.00", f"{(24 + 12) / 28:.2f}", "1.00"]
    assert [row[6] for row in table.short] == [numbers.si(240.0), numbers.si(360.0), numbers.si(40.0)]
    assert table.short[1][-2] == numbers.span(EnergyRange(25e-12, 50e-12), "J") and table.short[1][-1] == numbers.DASH


def test_of_many_experts_the_first_are_listed() -> None:
    parts = [Operator(name=f"experts.{k}", what="gate") for k in range(60)]
    assert grouped(parts[:48])["gate"] == [part.name for part in parts[:48]]
    names = grouped([*parts, Operator(name="head", what="product")])
    assert names == {"gate": [*(part.name for part in parts[:48]), "and 12 more"], "product": ["head"]}


def test_text_does_not_command_a_terminal() -> None:
    assert printable("a\x1b[31mb\x07\r\x9b1m\u202ec\n\t\u00e9🙂") == "a\\x1b[31mb\\x07\\r\\x9b1m\\u202ec\n\t\u00e9🙂"
