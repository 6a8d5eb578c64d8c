"""Files of converted models: the same model after reading, and damaged files, which are named."""

from __future__ import annotations

import ctypes
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.convert_models import model_of, text

from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.kernels.decode.program import OPERANDS
from neurosim.language import (
    Coding,
    Decoder,
    LanguageConfig,
    LanguageModel,
    MixerSpec,
    Tuning,
    convert,
    read_converted,
    tune,
    write_converted,
)
from neurosim.language.conversion.checkpoint import is_converted


@pytest.mark.parametrize(
    "coding", [Coding("ternary", qk=True, head=True), Coding("calibrated", weights="float32"), Coding("stbif", k=2.0)]
)
@torch.no_grad()
def test_saved_and_loaded_is_the_same_model(coding: Coding, dense: LanguageModel, tmp_path: Path) -> None:
    made = convert(dense, coding, text(), windows=4, length=32)
    write_converted(tmp_path / "m", made)
    assert is_converted(tmp_path / "m")
    again = read_converted(tmp_path / "m")
    tokens = text(40)[None]
    assert torch.equal(again.model(tokens)[0], made.model(tokens)[0])
    assert again.coding == coding and again.dense == made.dense and again.price == made.price
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["config.json", "model.safetensors"]


@torch.no_grad()
def test_a_tied_head_is_converted_and_saved(tmp_path: Path) -> None:
    model = LanguageModel(dataclasses.replace(model_of("gla").config, tied=True)).eval()
    for coding in (Coding("ternary", head=True), Coding("calibrated", head=True)):
        made = convert(model, coding, text(), windows=4, length=32)
        write_converted(tmp_path, made)
        assert torch.equal(read_converted(tmp_path).model(text(20)[None])[0], made.model(text(20)[None])[0])


@pytest.fixture(scope="module")
def saved(dense: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    write_converted(folder, convert(dense, Coding("calibrated"), text(), windows=4, length=32))
    return folder


CODER = {"k": 3.0, "shrink": 0.0, "price": 0.0, "limit": 127.0}


def _config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 9}, "format: must be 1: upgrade neurosim"),
        ({"coding": {"scheme": "ternery"}}, "did you mean 'ternary'"),
        ({"coding": {"k": "3"}}, r"coding.k: must be a number \(got '3'\)"),
        ({"coding": {"kk": 3}}, "coding: unknown key 'kk'"),
        ({"coding": 5}, "coding: must be a table"),
        ({"price": None}, "price: must be a number"),
        (
            {"coders": {"layers.0.mixer.z_proj": CODER}},
            "coders: unknown name 'layers.0.mixer.z_proj'",
        ),
        ({"coders": {"layers.0.mixer.q_proj": {"k": 3.0}}}, "needs the fields shrink, price, limit"),
        ({"coders": {"layers.0.mixer.q_proj": 3}}, "q_proj: must be a table"),
        ({"coders": {}}, "tensors do not fit"),
        ({"model_type": "gla"}, "model_type: must be neurosim-spiking"),
        ({"blocks": {"embeddings.weight": "Q9_0"}}, "blocks.embeddings.weight: unknown name 'Q9_0'"),
        (
            {"blocks": {"embeddings.weight": "Q8_0"}},
            "tensor 'embeddings.weight': must be bytes U8 of blocks Q8_0, 34 each",
        ),
    ],
)
def test_damaged_configs_say_what_is_wrong(saved: Path, tmp_path: Path, changes: dict[str, object], words: str) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    _config(tmp_path, **changes)
    with pytest.raises(NeurosimInputError, match=words):
        read_converted(tmp_path)


def test_damaged_tensors_say_which(saved: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((saved / "config.json").read_bytes())
    tensors = load_file(saved / "model.safetensors")
    name = "layers.0.mixer.q_proj.coder.thresholds"
    for changed, words in (
        (tensors | {name: torch.ones(3)}, f"tensor '{name}' must be"),
        (tensors | {name: -tensors[name]}, f"tensor '{name}' must be finite and > 0"),
        (tensors | {"more": torch.ones(1)}, "unexpected 'more'"),
        ({n: t for n, t in tensors.items() if n != name}, f"missing '{name}'"),
    ):
        save_file(changed, tmp_path / "model.safetensors")
        with pytest.raises(NeurosimInputError, match=words):
            read_converted(tmp_path)
    whole = (saved / "model.safetensors").read_bytes()
    for bad in (whole[:100], (2**40).to_bytes(8, "little") + whole[8:], b""):
        (tmp_path / "model.safetensors").write_bytes(bad)
        with pytest.raises(NeurosimInputError, match=r"model\.safetensors"):
            read_converted(tmp_path)


def test_weights_are_saved_as_int8_and_read_back_bit_for_bit(tmp_path: Path) -> None:
    model = model_of("gla")
    made = convert(model, Coding("ternary", head=True))
    write_converted(tmp_path, made)
    from safetensors.torch import load_file

    stored = load_file(tmp_path / "model.safetensors")
    name = "layers.0.mlp.up_proj"
    assert stored[f"{name}.weight"].dtype == torch.int8 and stored[f"{name}.steps"].dtype == torch.float32
    read = read_converted(tmp_path)
    tokens = torch.arange(20)[None]
    for layer, own in made.layers.items():
        for one, other in zip(read.layers[layer].stored(), own.stored(), strict=True):
            assert one is not None and other is not None and torch.equal(one, other)
    with torch.no_grad():
        assert torch.equal(read.model(tokens)[0], made.model(tokens)[0])
        assert torch.equal(read.execute().model(tokens)[0], made.model(tokens)[0])
    write_converted(tmp_path / "again", read)
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert set(again) == set(stored) and all(torch.equal(again[each], stored[each]) for each in stored)
    # Trained further, its weights become floats.
    read.execute(False)
    tune(read.model, read.layers, torch.arange(400) % 50, Tuning(1, batch=1, length=16))
    assert read.layers[name].weight.dtype == torch.float32 and read.layers[name].steps is None


def test_rows_of_a_saved_model_are_read_where_its_file_is_mapped(tmp_path: Path) -> None:
    made = convert(LanguageModel(LanguageConfig((MixerSpec("gla"),), width=64, hidden=96), 1), Coding("ternary", k=2.0))
    write_converted(tmp_path / "new", made)
    read = read_converted(tmp_path / "new")
    decoder = Decoder(read.model)
    tokens = [3, 99, 7]
    # Addresses of rows are the first arguments of their operations.
    addresses = {_first_argument(row) for own in decoder._programs[1].lists for row in own}
    mapped = {name: layer.weight.data_ptr() in addresses for name, layer in read.layers.items()}
    # 96 outputs are padded to 128, and 16 and 32 to 64: copied.
    assert mapped["layers.0.mixer.o_proj"] and mapped["layers.0.mlp.down_proj"]
    assert not any(mapped[name] for name, layer in read.layers.items() if layer.out_features % 64)
    logits = [decoder.step([token]).copy() for token in tokens]
    assert np.array_equal(Decoder(made.model).step(tokens[:1]), logits[0])


def _first_argument(operation: Any) -> int:
    return ctypes.c_int64.from_address(int(operation[OPERANDS])).value


def test_a_save_that_was_killed_between_its_files_reads_as_the_old_model(tmp_path: Path) -> None:
    """Whichever file took its place first, config and weights are those of one model."""
    one = convert(model_of("gla"), Coding("ternary"))
    other = convert(model_of("gla"), Coding("ternary", k=1.0))
    for name, made in (("old", one), ("new", other)):
        write_converted(tmp_path / name, made)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for config, weights, k in (("new", "old", 3.0), ("old", "new", 1.0)):
        (mixed / "config.json").write_bytes((tmp_path / config / "config.json").read_bytes())
        (mixed / "model.safetensors").write_bytes((tmp_path / weights / "model.safetensors").read_bytes())
        assert read_converted(mixed).coding.k == k


def test_a_converted_config_of_many_words_takes_no_memory(tmp_path: Path) -> None:
    write_converted(tmp_path, convert(model_of("gla"), Coding("ternary")))
    config = json.loads((tmp_path / "config.json").read_text())
    for change, words in (({"vocabulary": 10**8}, "tensor 'embeddings.weight' must be"), ({"hidden": 10**12}, "mlp")):
        changed = config | {"config": config["config"] | change}
        (tmp_path / "config.json").write_text(json.dumps(changed))
        with pytest.raises(NeurosimFormatError, match=words):
            read_converted(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"config": config["config"] | {"width": 2**62}}))
    with pytest.raises(NeurosimInputError, match=r"config\.json makes no model"):
        read_converted(tmp_path)
