"""Checkpoints in transformers' layouts against the logits that it recorded, and what their configs may say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.recorded import CASES, recorded_logits, tokens, write_folder

from neurosim.base import CheckpointWarning, NeurosimFormatError, NeurosimInputError
from neurosim.language import Decoder, LanguageModel, read_model


def by_steps(model: LanguageModel) -> torch.Tensor:
    outs = []
    state = None
    for t in range(tokens().shape[1]):
        out, state = model.step(tokens()[:, t], state)
        outs.append(out)
    return torch.stack(outs, 1)


@pytest.mark.parametrize("case", CASES)
def test_recorded_logits(tmp_path: Path, case: str) -> None:
    """Within 1e-5 of the largest logit, many tokens at once and one at a time."""
    write_folder(case, tmp_path)
    model = read_model(tmp_path)
    expected = recorded_logits(case)
    scale = float(expected.abs().max())
    with torch.no_grad():
        assert float((model(tokens())[0] - expected).abs().max()) < 1e-5 * scale
        assert float((by_steps(model) - expected).abs().max()) < 1e-5 * scale


@pytest.mark.parametrize("case", ["gemma2", "gpt-neox", "granite", "granite-hybrid", "mixtral", "olmo3", "qwen2-moe"])
def test_compiled_step(tmp_path: Path, case: str) -> None:
    """Factors, bounds, norms behind layers and layers of their own positions are in the program of a token, too."""
    write_folder(case, tmp_path)
    decoder = Decoder(read_model(tmp_path))
    expected = recorded_logits(case)[0].numpy()
    for token, logits in zip(tokens()[0].tolist(), expected, strict=True):
        np.testing.assert_allclose(decoder.step([token])[0], logits, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bits_are_computed_in_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    from safetensors.torch import load_file, save_file

    write_folder("llama", tmp_path)
    values = {name: value.to(dtype) for name, value in load_file(tmp_path / "model.safetensors").items()}
    save_file(values, tmp_path / "model.safetensors")
    narrow = read_model(tmp_path)
    assert narrow.layers[0].mixer.q_proj.weight.dtype == dtype
    save_file({name: value.float() for name, value in values.items()}, tmp_path / "model.safetensors")
    with torch.no_grad():
        assert torch.equal(narrow(tokens())[0], read_model(tmp_path)(tokens())[0])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"num_attention_heads": 5}, "num_heads: must be a multiple of 2"),
    ({"hidden_act": "mish"}, r"hidden_act: must be one of silu, .* \(got mish\)"),
    (
        {"rope_scaling": {"type": "ntk", "factor": 2.0}},
        "rope_type: unknown name 'ntk'; .*choose from default, divided, dynamic",
    ),
    ({"rope_scaling": {"type": "linear"}}, "rope_scaling.factor: must be a number > 0"),
    ({"rope_scaling": {"type": "linear", "factor": 2.0, "beta": 1}}, "entry of 'linear': unknown name 'beta'"),
    ({"rope_scaling": {"type": "yarn", "factor": "8"}}, "rope_scaling.factor: must be a number"),
    ({"rope_scaling": [8.0]}, "rope_scaling: must be a table"),
    ({"rope_theta": 0.5}, "rope_theta: must be > 1"),
    ({"pretraining_tp": 2}, "pretraining_tp: must be 1"),
    ({"partial_rotary_factor": 0.34}, "partial_rotary_factor: must be 1 in this model type"),
    ({"num_hidden_layers": 100_000}, r"num_hidden_layers: must be 2, the layers that have tensors \(got 100000\)"),
    ({"num_hidden_layers": 2**63}, "num_hidden_layers: must be an integer <= "),
    ({"quantization_config": {"bits": 4}}, "quantization_config: quantised weights are not read"),
]


def changed(folder: Path, change: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.pop("rope_parameters", None)
    (folder / "config.json").write_text(json.dumps(config | change))


@pytest.mark.parametrize("change, message", WRONG, ids=lambda x: next(iter(x)) if isinstance(x, dict) else "")
def test_options_that_are_not_supported_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_folder("llama", tmp_path)
    changed(tmp_path, change)
    with pytest.raises(NeurosimInputError, match=message):
        read_model(tmp_path)


def test_the_first_configs_of_granite_hybrids(tmp_path: Path) -> None:
    """They name layers otherwise and write positions beside a kind of none; nothing of it is unknown."""
    write_folder("granite-hybrid", tmp_path)
    expected = recorded_logits("granite-hybrid")
    older = {
        "init_method": "mup",
        "layer_types": ["mamba", "attention"],
        "mamba_d_head": 8,
        "normalization_function": "rmsnorm",
        "position_embedding_type": "nope",
        "rope_scaling": None,
        "rope_theta": 10000,
    }
    changed(tmp_path, older)
    with torch.no_grad():
        logits = read_model(tmp_path)(tokens())[0]
    assert float((logits - expected).abs().max()) < 1e-5 * float(expected.abs().max())


OTHERS: list[tuple[str, dict[str, Any], str]] = [
    ("gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attention: must be false"),
    ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping: must be null in this model type"),
    ("olmoe", {"clip_qkv": 8.0}, "clip_qkv: must be null"),
    (
        "qwen2-moe",
        {"use_sliding_window": True, "sliding_window": 8, "layer_types": None},
        "must be false without layer_types",
    ),
    ("granite", {"residual_multiplier": 0}, "residual_multiplier: must be > 0"),
    ("granite-hybrid", {"layer_types": ["mamba", "rwkv"]}, "layer_types: must be 2 of full_attention, .*, mamba"),
    ("granite-hybrid", {"normalization_function": "layernorm"}, "normalization_function: must be rmsnorm"),
    ("granite-hybrid", {"mamba_n_heads": 5}, "mamba_n_heads: must divide 32 channels"),
    ("bamba", {"mamba_d_head": 4}, "mamba_d_head: must be auto or 8"),
    ("bamba", {"attn_layer_indices": [2]}, "attn_layer_indices: must be layers of 0 to 1"),
    # "gelu" of transformers is not the approximation by tanh.
    ("mamba", {"hidden_act": "gelu"}, r"hidden_act: must be one of silu, .* \(got gelu\)"),
    ("mamba2", {"hidden_act": "gelu"}, r"hidden_act: must be one of silu, .* \(got gelu\)"),
    ("mixtral", {"num_local_experts": 2}, "tensors do not fit config.json: unexpected .*experts"),
]


@pytest.mark.parametrize("case, change, message", OTHERS, ids=lambda x: x if isinstance(x, str) else "")
def test_options_of_other_families_are_named(tmp_path: Path, case: str, change: dict[str, Any], message: str) -> None:
    write_folder(case, tmp_path)
    changed(tmp_path, change)
    with pytest.raises((NeurosimFormatError, NeurosimInputError), match=message):
        read_model(tmp_path)


def test_the_language_model_of_one_that_reads_pictures(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_folder("gemma3", tmp_path)
    model = read_model(tmp_path)
    inner = json.loads((tmp_path / "config.json").read_text())
    outer = {"model_type": "gemma3", "text_config": inner, "vision_config": {"num_hidden_layers": 3}}
    (tmp_path / "config.json").write_text(json.dumps(outer))
    tensors = {f"language_model.{name}": value for name, value in load_file(tmp_path / "model.safetensors").items()}
    tensors["vision_tower.encoder.layers.2.fc1.weight"] = torch.zeros(2, 2)
    save_file(tensors, tmp_path / "model.safetensors")
    with torch.no_grad():
        assert torch.equal(read_model(tmp_path)(tokens())[0], model(tokens())[0])


def test_masks_and_first_names_of_gpt_neox(tmp_path: Path) -> None:
    """Pythia's files: masks in every layer, and positions by other names."""
    from safetensors.torch import load_file, save_file

    write_folder("gpt-neox", tmp_path)
    expected = read_model(tmp_path)(tokens())[0]
    changed(tmp_path, {"rotary_pct": 0.25, "rotary_emb_base": 10000})
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["gpt_neox.layers.0.attention.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    tensors["gpt_neox.layers.0.attention.masked_bias"] = torch.tensor(-1e9)
    save_file(tensors, tmp_path / "model.safetensors")
    assert torch.equal(read_model(tmp_path)(tokens())[0], expected)


def test_older_spellings_are_read(tmp_path: Path) -> None:
    """Gemma 3 without tables of positions by kind of layer, and without what its configs leave to defaults."""
    write_folder("gemma3", tmp_path)
    expected = read_model(tmp_path).config
    changed(
        tmp_path,
        {
            "rope_theta": 1e6,
            "rope_local_base_freq": 10000.0,
            "rope_scaling": {"type": "linear", "factor": 8.0},
            "tie_word_embeddings": None,
        },
    )
    config = json.loads((tmp_path / "config.json").read_text())
    del config["tie_word_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    older = read_model(tmp_path).config
    assert [str(layer.options["rope_theta"]) for layer in older.layers] == ["10000.0", "1000000.0"]
    assert [layer.options["window_size"] for layer in older.layers] == [5, 0]
    scalings = [layer.options["rope_scaling"] for layer in older.layers]
    assert scalings == [None, {"type": "linear", "factor": 8.0}]
    assert older.tied and older.embedding_scale == expected.embedding_scale


def test_options_that_are_not_known_are_named(tmp_path: Path) -> None:
    write_folder("llama", tmp_path)
    changed(tmp_path, {"logit_softcap": 30.0, "attention_sinks": 4, "off": None, "unused": False})
    with pytest.warns(CheckpointWarning, match=r"options 'attention_sinks', 'logit_softcap' are not known") as caught:
        read_model(tmp_path)
    assert len(caught) == 1


def test_positions_whose_rates_would_change_are_refused(tmp_path: Path) -> None:
    write_folder("phi3-longrope", tmp_path)
    model = read_model(tmp_path)
    with torch.no_grad():
        model(torch.zeros(1, 32, dtype=torch.int64))
        with pytest.raises(NeurosimInputError, match=r"beyond 32, which is not supported \(got token 33\)"):
            model(torch.zeros(1, 33, dtype=torch.int64))


@pytest.mark.parametrize("case", ["kimi-linear", "qwen3-next", "falcon-mamba", "gemma2", "granite"])
def test_what_is_read_converts(tmp_path: Path, case: str) -> None:
    """Simulated and executed alike, counted, saved and read again; experts that no token reached are silent."""
    from neurosim.language import Coding, convert, read_converted, write_converted
    from neurosim.language.conversion.comparison import check_execution
    from neurosim.language.conversion.costs import layer_costs, layer_counts, spike_totals

    write_folder(case, tmp_path)
    made = convert(read_model(tmp_path), Coding("ternary"))
    assert "Identity" not in dict(made.dense).values()
    for count in (1, 3):
        with made.counting() as histograms, torch.no_grad():
            made.model(tokens()[:1, :count])
        assert spike_totals(made, histograms).spikes > 0
        layers = layer_counts(made, histograms)
        costs = layer_costs(made, histograms, layers, "horowitz45")
        # Costs are for each token of the text, also of experts that only some of them reach.
        for name, layer, cost in zip(made.layers, layers, costs, strict=True):
            assert layer.name == cost.name == name
            assert count * cost.operations == pytest.approx(layer.synaptic_operations)
    assert check_execution(made, tokens()).largest == 0.0
    write_converted(tmp_path / "saved", made)
    with torch.no_grad():
        assert torch.equal(read_converted(tmp_path / "saved").model(tokens())[0], made.model(tokens())[0])


def test_calibration_names_experts_that_no_token_reached(tmp_path: Path) -> None:
    from neurosim.language import Coding, convert

    write_folder("qwen3-next", tmp_path)
    with pytest.raises(NeurosimInputError, match=r"no token of it reached layers\.\d\.mlp\.experts\.\d"):
        convert(read_model(tmp_path), Coding("calibrated"), torch.zeros(40, dtype=torch.int64), windows=1, length=8)


def test_a_head_beside_a_tied_embedding_is_taken(tmp_path: Path) -> None:
    """Transformers 5 takes the head where the two differ; one that repeats the embedding is tied to it."""
    write_folder("mixtral", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.warns(
        CheckpointWarning, match="tie_word_embeddings is true, but 'lm_head.weight' is not the embedding"
    ):
        model = read_model(tmp_path)
    expected = recorded_logits("mixtral")
    with torch.no_grad():
        assert float((model(tokens())[0] - expected).abs().max()) < 1e-5 * float(expected.abs().max())


def test_a_model_that_was_saved_with_its_adapters_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_folder("llama", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"] = torch.zeros(4, 24)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(NeurosimInputError, match=r"lora_A.default.weight': adapters are not read.*merge_and_unload"):
        read_model(tmp_path)


def test_an_adapter_beside_a_model_is_refused(tmp_path: Path) -> None:
    write_folder("mixtral", tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(NeurosimInputError, match=r"adapter_config.json: adapters are not read.*merge_and_unload"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("case", "parts"),
    [("mixtral", ("w1", "w3", "w2")), ("qwen3-next", ("gate_proj", "up_proj", "down_proj"))],
)
def test_experts_of_a_state_dict_in_one_tensor(tmp_path: Path, case: str, parts: tuple[str, str, str]) -> None:
    """Transformers 5 has experts so in memory, and saves them so with `save_original_format=False`."""
    from safetensors.torch import load_file, save_file

    write_folder(case, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    made = {name: value for name, value in stored.items() if ".experts." not in name}
    for place in {name.partition(".experts.")[0] for name in set(stored) - set(made)}:
        count = len(stored[f"{place}.gate.weight"])
        gates, ups, downs = ([stored[f"{place}.experts.{k}.{part}.weight"] for k in range(count)] for part in parts)
        inside = f"{place.replace('block_sparse_moe', 'mlp')}.experts"
        made[f"{inside}.gate_up_proj"] = torch.cat([torch.stack(gates), torch.stack(ups)], 1)
        made[f"{inside}.down_proj"] = torch.stack(downs)
    save_file(made, tmp_path / "model.safetensors")
    expected = recorded_logits(case)
    with torch.no_grad():
        assert float((read_model(tmp_path)(tokens())[0] - expected).abs().max()) < 1e-5 * float(expected.abs().max())


def test_experts_of_granite_in_one_tensor(tmp_path: Path) -> None:
    """Those of Mixtral, and an expert that every token passes, whose gates lie above their values."""
    from safetensors.torch import load_file, save_file

    write_folder("mixtral", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"sliding_window": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with torch.no_grad():
        expected = read_model(tmp_path)(tokens())[0]
    stored = load_file(tmp_path / "model.safetensors")
    made = {name: value for name, value in stored.items() if "block_sparse_moe" not in name}
    for layer in range(2):
        place = f"model.layers.{layer}.block_sparse_moe"
        experts = [[stored[f"{place}.experts.{k}.{part}.weight"] for part in ("w1", "w3", "w2")] for k in range(4)]
        made[f"{place}.input_linear.weight"] = torch.stack([torch.cat([gate, up]) for gate, up, _ in experts])
        made[f"{place}.output_linear.weight"] = torch.stack([down for *_, down in experts])
        made[f"{place}.router.layer.weight"] = stored[f"{place}.gate.weight"]
    save_file(made, tmp_path / "model.safetensors")
    head = config["hidden_size"] // config["num_attention_heads"]
    config |= {"model_type": "granitemoe", "attention_multiplier": head**-0.5}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with torch.no_grad():
        assert float((read_model(tmp_path)(tokens())[0] - expected).abs().max()) < 1e-6 * float(expected.abs().max())
    # A shared expert of zeros, but in its values: an output of 0.
    config |= {"model_type": "granitemoeshared", "shared_intermediate_size": 6}
    (tmp_path / "config.json").write_text(json.dumps(config))
    width = config["hidden_size"]
    gates = torch.cat([torch.zeros(6, width), torch.ones(6, width)])
    for layer in range(2):
        place = f"model.layers.{layer}.shared_mlp"
        made |= {f"{place}.input_linear.weight": gates.clone(), f"{place}.output_linear.weight": torch.ones(width, 6)}
    save_file(made, tmp_path / "model.safetensors")
    with torch.no_grad():
        assert float((read_model(tmp_path)(tokens())[0] - expected).abs().max()) < 1e-6 * float(expected.abs().max())
