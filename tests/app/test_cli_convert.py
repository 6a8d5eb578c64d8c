"""`neurosim convert ...` from the command to the files: what it prints, writes, refuses, and leaves the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import command
from helpers.command import neurosim
from helpers.vocabularies import train_sentencepiece
from safetensors.torch import load_file, save_file

from neurosim.app import write_page
from neurosim.app.runs.frame.terminal import printable
from neurosim.base.distribution import install
from neurosim.base.json_toml import read_json, write_json
from neurosim.language import LanguageConfig, LanguageModel, MixerSpec, read_converted, read_model, write_model

TRAIN = [
    *("--steps", "12", "--set", "model.layers=2", "--set", "model.width=32", "--set", "model.hidden=32", "--set"),
    *(
        'model.options={"num_heads"=2,"head_dim"=8,"head_v_dim"=8}',
        "--set",
        "training.batch=4",
        "--set",
        "training.length=32",
    ),
]
BRIEF = [
    *("--tokens", "600", "--set", "calibration.windows=4", "--set", "calibration.length=32", "--set"),
    *("report.layer_tokens=120", "--set", "report.executed_tokens=64"),
]
TIMED = ["--set", "report.timed_tokens=16"]
EVERY = {"manifest.json", "config.toml", "metrics.json", "report.html"}
found = partial(command.result_of, "convert")
refused = partial(command.refused, "convert")
pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"{k} times {k} is {k * k}, and that is that.\n" for k in range(400)))
    return path


@pytest.fixture(scope="module")
def trained(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "lm"
    neurosim("convert", "lm-train", "--text", text, *TRAIN, "--out", out, "--quiet")
    return out


@pytest.fixture(scope="module")
def converted(trained: Path, text: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("converted") / "run"
    words = ["convert", str(trained), "--scheme", "ternary", "--k", "3", "--calibrate", str(text), *BRIEF]
    return command.result_of(*words, *TIMED, "--out", out)


def test_training_writes_a_model_that_loads(trained: Path) -> None:
    assert {p.name for p in trained.iterdir()} == EVERY | {"model"}
    metrics = read_json(trained / "metrics.json")
    assert metrics["parameters"] == read_model(trained / "model").parameter_count()
    assert 2.0 < metrics["validation_loss"] < 5.6 and metrics["history"][-1]["step"] == 12
    manifest = read_json(trained / "manifest.json")
    assert (manifest["status"], manifest["kind"], manifest["command_kind"]) == ("done", "convert", "lm-train")


def test_a_trained_model_is_measured(trained: Path) -> None:
    metrics = read_json(trained / "metrics.json")
    again = json.loads(neurosim("measure", trained, "--json").stdout)
    assert again["measures"] == metrics["measures"] and again["energy"] == metrics["energy"]
    names = [layer["name"] for layer in again["measures"]["layers"]]
    assert "lm_head" in names and "layers.0.mixer.state" in names and metrics["remarks"] == []
    assert again["measures"]["synaptic_operations"]["Effective_MACs"] > 0
    assert "Energy, with memory" in neurosim("measure", trained).stdout
    assert "Measures of the whole network" in (trained / "report.html").read_text()


def test_a_hybrid_is_trained_from_a_pattern_or_a_list(text: Path) -> None:
    brief = ["--text", text, "--steps", "2", "--set", "model.width=16", "--set", "model.hidden=16"]
    brief += ["--set", "training.batch=2", "--set", "training.length=24"]
    result = found("lm-train", *brief, "--pattern", "gla*2, window", "--set", "model.layers=5", "--out", "p")
    assert result["layer_kinds"] == ["gla", "gla", "window", "gla", "gla"] and result["network"] == "gla*2, window"
    Path("hybrid.toml").write_text(
        "[[model.stack]]\nkind = 'kda'\ncount = 2\noptions = { num_heads = 1, head_dim = 4 }\n"
        "[[model.stack]]\nkind = 'softmax'\n"
    )
    result = found("lm-train", *brief, "--config", "hybrid.toml", "--out", "s")
    layers = read_model(Path("s") / "model").config.layers
    assert [layer.kind for layer in layers] == ["kda", "kda", "softmax"] and layers[0].options["head_dim"] == 4
    assert result["network"] == "kda*2,softmax"


def test_the_layers_of_a_model_are_inspected(trained: Path, converted: dict[str, Any], text: Path) -> None:
    dense = found("inspect", trained, "--tokens", "40")
    assert not dense["spiking"] and dense["tokens"] == 40
    first = dense["layers"][0]
    assert (first["name"], first["kind"], first["spikes"]) == ("layers.0", "gated_deltanet", None)
    # Two heads of 8 x 8, three tails of three tokens of 16 channels.
    assert first["state_bytes"] == 4 * (2 * 64 + 3 * 3 * 16)
    spectrum = first["spectrum"]
    assert 0 < spectrum["lowest"] < spectrum["median"] < spectrum["highest"] <= 1 and spectrum["negative"] == 0
    assert spectrum["horizon"] == pytest.approx(1 / (1 - spectrum["median"]))
    spiking = found("inspect", converted["run"], "--text", text)
    assert spiking["spiking"] and 0.5 < spiking["layers"][1]["spikes"] < 2
    told = neurosim("convert", "inspect", trained).stdout
    assert "gated_deltanet" in told and "horizon" in told
    layers = (
        MixerSpec("softmax", {"num_heads": 2}),
        MixerSpec("deltanet", {"num_heads": 2}),
        MixerSpec("paragru", {"units": 8}),
    )
    write_model("hybrid", LanguageModel(LanguageConfig(layers, 20, 16, hidden=16)))
    told = neurosim("convert", "inspect", "hybrid", "--tokens", "9").stdout
    assert "token ids drawn at random" in told and "SoftmaxAttention: its memory is no state of fixed size" in told
    assert re.search(r"layers\.2: [1-6] rounds of Newton's method over the text, residual \d\.\de-", told)
    assert "no end" in told  # what the delta rule does not write to stays


def test_hybrids_that_are_refused(text: Path) -> None:
    words = ("lm-train", "--text", text)
    assert "model.pattern: unknown name 'glaa'; did you mean 'gla'" in refused(*words, "--pattern", "glaa*2")
    assert "must repeat kinds by integers of at least 1" in refused(*words, "--pattern", "gla*x")
    more = ("--pattern", "gla", "--set", "model.options={num_heads=2}")
    assert "model.options: must be options of one kind" in refused(*words, *more)
    more = ("--pattern", "gla", "--set", 'model.stack=[{kind="gla"}]')
    assert "model.stack: must not stand beside model.pattern" in refused(*words, *more)


def test_a_conversion_says_everything_that_was_asked(converted: dict[str, Any], trained: Path) -> None:
    run = Path(converted["run"])
    assert {p.name for p in run.iterdir()} == EVERY | {"model"}
    assert read_json(run / "metrics.json") == converted
    assert converted["loss"] == pytest.approx(converted["dense_loss"], abs=0.05)
    assert 0.9 < converted["spikes"] < 1.5 and 0.05 < converted["silent"] < 0.4 and converted["agreement"] > 0.8
    layers = {row["name"]: row for row in converted["layers"]}
    assert set(layers) == set(converted["alone"]) and "layers.0.mixer.q_proj" in layers
    for row in layers.values():
        assert row["operations"] > 0 and row["bytes"] >= row["row_bytes"] > 0
        for kind in ("fp16", "int8", "int4"):
            assert set(row["energy"][kind]) == {"compute_only", "memory_aware", "saving"}
    assert [each["profile"] for each in converted["processes"]] == ["jouppi7"]
    page = (run / "report.html").read_text()
    assert "dense, int4; jouppi7" in page and "0.285 spikes a channel. Here it is 1." in page
    # The table of measures has the coders and the states between the layers, too.
    counted = {row["name"]: row for row in converted["measures"]["layers"]}
    states = [name for name in counted if name.endswith(".state")]
    coders = {f"{name}.coding" for name in layers}
    assert set(counted) == {*layers, *coders, *states} and len(states) == len(converted["layer_kinds"])
    assert all(counted[name]["membrane_updates"] > 0 for name in states)
    linear = sum(row["dense_operations"] for row in layers.values())
    whole = converted["measures"]["synaptic_operations"]["Dense"]
    assert whole > linear == pytest.approx(converted["dense_operations"])
    assert converted["speed"]["spiking"] > 0 and converted["speed"]["dense"] > 0 and converted["speed"]["threads"] >= 1
    assert converted["execution"]["largest"] == 0.0  # int8: simulated and executed are the same bits
    assert {"name": "lm_head", "what": "linear layer on floats"} in converted["operators"]
    assert converted["baselines"]["compute_only"]["low"] > 0
    model = read_converted(run / "model")
    assert set(model.layers) == set(layers)


def test_the_words_are_printed_without_json(trained: Path, text: Path) -> None:
    words = ["convert", trained, "--calibrate", text, "--scheme", "calibrated", "--spikes", "0.7", *BRIEF]
    told = neurosim(*words, "--set", "report.layer_tokens=0", "--quiet").stdout
    assert "Time of a" not in told and "which says how long a byte takes" in " ".join(told.split())
    for word in (
        "Perplexity change",
        "Spikes a channel",
        "sums in registers",
        "times less",
        "On floats:",
        "linear layer on floats (1 part)",
    ):
        assert word in told
    assert told.endswith("report.html\n")
    (run,) = Path("runs").iterdir()
    assert run.name.endswith("-convert-lm")
    assert read_json(run / "metrics.json")["spikes"] == pytest.approx(0.7, rel=0.25)


def test_layers_alone_are_left_out_where_they_would_take_minutes(
    trained: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default, with the words that measure them; the run says what each phase does."""
    monkeypatch.setattr("neurosim.app.runs.convert.run.MAX_LAYER_WORK", 10**6)
    brief = [word for word in BRIEF if word != "--set" and not word.startswith("report.layer_tokens")]
    words = [word for setting in brief[2:] for word in ("--set", setting)]
    told = neurosim("convert", trained, "--calibrate", text, *brief[:2], *words, "--out", "l")
    result = read_json(Path("l/metrics.json"))
    (remark,) = [line for line in result["remarks"] if "each layer alone" in line]
    weights = read_model(trained / "model").parameter_count()
    assert "would read 512 bytes; --set report.layer_tokens=512 measures it" in remark
    assert f"a model of {weights:,} weights" in remark and result["alone"] == {}
    assert "was not measured; --set report.layer_tokens=512" in Path("l/report.html").read_text()
    assert "running 64 bytes by adding rows of weights" in told.stderr
    assert "timing" not in told.stderr and "report.timed_tokens=64 measures it" in Path("l/report.html").read_text()


@pytest.mark.slow
def test_everything_can_be_in_spikes(trained: Path, text: Path) -> None:
    words = ["--scheme", "ternary", "--k", "4", "--qk", "--state", "--head", "--expansion", "canonical"]
    result = found(trained, "--calibrate", text, *words, *BRIEF, "--out", "e")
    named = {row["name"] for row in result["layers"]}
    assert "lm_head" in named and not any(o["what"] == "linear layer on floats" for o in result["operators"])
    assert set(result["alone"]) - named == {
        f"layers.{i}.mixer.codes.{name}" for i in (0, 1) for name in ("q", "k", "state")
    }
    assert result["sent_as"] == "canonical" and result["spikes"] < result["by_expansion"]["bitwise"]


@pytest.mark.slow
def test_the_same_seed_is_the_same_conversion(trained: Path, text: Path) -> None:
    words = [trained, "--calibrate", text, "--scheme", "stbif", "--seed", "4", *BRIEF, "--set", "report.layer_tokens=0"]
    first, second = (found(*words, "--out", out) for out in ("a", "b"))
    for key in ("loss", "spikes", "by_expansion", "layers", "baselines"):
        assert first[key] == second[key]


@pytest.mark.slow
def test_the_curve_has_every_scheme_and_its_plots(trained: Path, text: Path) -> None:
    words = ["curve", trained, "--calibrate", text, "--tokens", "300", *BRIEF[2:]]
    sets = (
        'curve.schemes=["ternary","calibrated","qcfs"]',
        "curve.ks=[1.0,4.0]",
        "curve.levels=[3,31]",
        "curve.spikes=[0.4,1.0]",
    )
    result = found(*words, *(w for s in sets for w in ("--set", s)), "--out", "c")
    assert [p["scheme"] for p in result["points"]] == ["ternary"] * 2 + ["calibrated"] * 2 + ["qcfs"] * 2
    for first, second in zip(result["points"][::2], result["points"][1::2], strict=True):
        assert first["spikes"] < second["spikes"] and first["operations"] < second["operations"]
    page = (Path("c") / "report.html").read_text()
    assert page.count("<svg") == 4 and "spikes a channel" in page and "perplexity more" in page


def test_every_point_of_a_curve_is_measured(trained: Path, text: Path, tmp_path: Path) -> None:
    sets = ("--set", 'curve.schemes=["ternary"]', "--set", "curve.ks=[1.0,4.0]")
    words = ["curve", trained, "--calibrate", text, "--tokens", "100", *BRIEF[2:], *sets]
    result = found(*words, "--out", "small")
    again = json.loads(neurosim("measure", "small", "--json").stdout)
    assert [(point["scheme"], point["strength"]) for point in again["points"]] == [("ternary", 1.0), ("ternary", 4.0)]
    for point, stored in zip(again["points"], result["points"], strict=True):
        assert point["measures"] == stored["measures"] and point["energy"]["memory_aware"]["low"] > 0
        linear = [layer for layer in point["measures"]["layers"] if not layer["name"].endswith((".state", ".coding"))]
        assert sum(layer["synaptic_operations"] for layer in linear) / 100 == pytest.approx(stored["operations"])
    text_of = neurosim("measure", "small", "--profile", "loihi").stdout
    assert "with memory" in text_of and "(estimate, loihi)" in text_of and "ternary" in text_of
    former = {**result, "points": [{k: v for k, v in p.items() if k != "measures"} for p in result["points"]]}
    write_json("small/metrics.json", former)
    line = neurosim("measure", "small", expect=2).stderr
    assert "metrics.json: lacks the counts of the points ('measures'); run again" in line


def test_pages_say_what_the_run_holds(converted: dict[str, Any], trained: Path) -> None:
    page = (Path(converted["run"]) / "report.html").read_text()
    for words in ("Not in spikes", "Against dense networks", "layers.0.mlp.down_proj", "Expansions", "lm_head"):
        assert words in page
    assert "<svg" in (trained / "report.html").read_text()
    assert write_page(trained).name == "report.html"
    neurosim("report", converted["run"])
    neurosim("measure", converted["run"], "--profile", "loihi")


@pytest.mark.slow
def test_fine_tuning_is_part_of_the_run(trained: Path, text: Path) -> None:
    result = found(trained, "--calibrate", text, "--scheme", "calibrated", *BRIEF, "--fine-tune", "3", "--set",
                   "tuning.batch=2", "--set", "tuning.length=32", "--out", "t")  # fmt: skip
    assert result["timings"]["tune"] > 0
    assert not torch.equal(
        read_converted(Path("t/model")).layers["layers.0.mlp.up_proj"].weight,
        read_model(trained / "model").layers[0].mlp.up_proj.weight,
    )


@pytest.mark.slow
def test_text_is_written_dense_simulated_and_executed(converted: dict[str, Any], trained: Path) -> None:
    words = ["--prompt", "3 times ", "--tokens", "20", "--seed", "3"]
    dense = found("generate", trained, *words)
    simulated, executed = (found("generate", converted["run"], *words, f"--{how}") for how in ("simulate", "execute"))
    assert dense["spiking"] is False and simulated["spiking"] and executed["executed"]
    assert dense["compiled"] and executed["compiled"] and not simulated["compiled"] and simulated["speed"] is None
    assert executed["speed"]["spiking"] > 0 and executed["speed"]["dense"] > 0 and dense["speed"]["spiking"] is None
    assert simulated["text"] == executed["text"] and simulated["tokens"] == 20
    assert dense["state_bytes"] > 0
    told = neurosim("convert", "generate", converted["run"], *words, "--out", "g", "--quiet").stdout
    assert told.rstrip("\n") == printable("3 times " + simulated["text"]).rstrip("\n")
    assert Path("g/text.txt").read_bytes().startswith(b"3 times ")


def test_a_prompt_begins_with_the_token_that_the_configuration_names(tmp_path: Path) -> None:
    train_sentencepiece(tmp_path, 400)
    model = LanguageModel(LanguageConfig((MixerSpec("gla", {"num_heads": 2}),), vocabulary=400, width=32, hidden=32), 0)
    draws = torch.Generator().manual_seed(0)
    for p in model.parameters():
        if p.dim() == 2:
            torch.nn.init.normal_(p, generator=draws)
    write_model(tmp_path, model)
    words = ["--tokens", "8", "--temperature", "0", "--simulate"]
    plain = found("generate", tmp_path, "--prompt", "one", *words)
    spelled = found("generate", tmp_path, "--prompt", "<s>one", *words)
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": true}')
    begun = found("generate", tmp_path, "--prompt", "one", *words)
    assert begun["text"] == spelled["text"] != plain["text"] and begun["prompt"] == "one"


def test_help_is_light_and_names_the_commands() -> None:
    told = neurosim("convert", "--help").stdout
    for word in ("curve", "generate", "lm-train", "model"):
        assert word in told
    assert "--scheme" in neurosim("convert", "model", "--help").stdout
    assert "lm-train" in neurosim("convert").stdout


def test_without_torch_it_says_what_to_install() -> None:
    """In a process of its own: here torch is imported already."""
    code = """
import subprocess
import sys
from contextlib import suppress
sys.modules["torch"] = None
from neurosim.app.cli import main
for words in (["m"], ["curve", "m"], ["generate", "m"], ["lm-train"]):
    with suppress(SystemExit):
        main(["convert", *words])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = run.stderr.splitlines()
    assert len(lines) == 4 and all(install("train") in line for line in lines), lines


def _copied(trained: Path, out: Path, **config: object) -> Path:
    out.mkdir()
    for name in ("config.json", "model.safetensors"):
        (out / name).write_bytes((trained / "model" / name).read_bytes())
    about = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(about | config))
    return out


def test_bad_input_is_named_and_nothing_is_written(trained: Path, text: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_bytes(b"")
    brief = tmp_path / "brief.txt"
    brief.write_bytes(b"abc" * 20)
    unknown = _copied(trained, tmp_path / "unknown", model_type="mamba9")
    extra, missing, misshapen, lying = (_copied(trained, tmp_path / n) for n in ("extra", "missing", "shape", "lie"))
    tensors = load_file(extra / "model.safetensors")
    name = "layers.0.mixer.q_proj.weight"
    save_file(tensors | {"stray": torch.ones(1)}, extra / "model.safetensors")
    save_file({n: t for n, t in tensors.items() if n != name}, missing / "model.safetensors")
    save_file(tensors | {name: torch.ones(2, 3)}, misshapen / "model.safetensors")
    whole = (lying / "model.safetensors").read_bytes()
    (lying / "model.safetensors").write_bytes((2**50).to_bytes(8, "little") + whole[8:])
    cases = {
        (trained, "--calibrate", empty): "empty.txt: must hold text",
        (trained, "--calibrate", brief): "must have at least",
        (trained, "--calibrate", "none.txt"): "none.txt: no such file",
        (trained, "--scheme", "ternery"): "did you mean 'ternary'",
        (trained, "--k", "-1"): "coding.k: must be > 0",
        (trained, "--expansion", "unary_binary"): "must have a sign",
        (trained, "--set", "coding.kk=3"): "coding.kk: unknown key",
        (trained, "--profile", "nosuch"): "energy profile: unknown name 'nosuch'",
        (
            "nowhere",
        ): "nowhere: no such file or folder; give the folder of a checkpoint, a .gguf or .pth file, or owner/",
        (unknown,): "model_type: unknown name 'mamba9'",
        (extra,): "unexpected 'stray'",
        (missing,): f"missing '{name}'",
        (misshapen,): f"tensor '{name}' must be [16, 32] (got [2, 3])",
        (lying,): "expected a header of",
        ("generate", trained, "--execute"): "holds a dense model",
        ("generate", trained, "--prompt", ""): "prompt: must have at least one byte",
        ("lm-train", "--kind", "glaa"): "attention kind: unknown name 'glaa'",
        ("lm-train", "--text", empty): "empty.txt: must hold text",
        ("curve", trained, "--set", 'curve.schemes=["x"]'): "curve.schemes: unknown name 'x'",
    }
    for words, told in cases.items():
        assert told in refused(*words), words
    assert not Path("runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_read(kind: torch.dtype, trained: Path, text: Path, tmp_path: Path) -> None:
    folder = _copied(trained, tmp_path / "half")
    tensors = {n: t.to(kind) for n, t in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors")
    result = found(folder, "--calibrate", text, *BRIEF, "--k", "3", "--set", "report.layer_tokens=0", "--out", "h")
    assert result["loss"] == pytest.approx(result["dense_loss"], abs=0.05)


def test_a_converted_model_is_not_converted_again(converted: dict[str, Any], text: Path) -> None:
    assert "is converted already" in refused(converted["run"], "--calibrate", text)


@pytest.mark.slow
def test_a_card_is_used_where_torch_finds_one(
    trained: Path, text: Path, converted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device: the refusal cannot be seen")
    words = ["--calibrate", text, *BRIEF, "--set", "report.layer_tokens=0", "--device", "cuda"]
    assert "--device: must be cpu, because torch finds no CUDA device (got cuda)" in refused(trained, *words)
    assert "must be cpu" in refused("generate", converted["run"], "--device", "cuda")
    assert not Path("runs").exists()
    # A stand-in for the card: what is moved there stays, and is recorded.
    moved: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(LanguageModel, "to", lambda model, device: moved.append(str(device)) or model)
    found(trained, *words, "--out", "on-card")
    found("generate", "on-card", "--execute", "--tokens", "2", "--device", "cuda")
    assert moved == ["cuda", "cuda"]


@pytest.mark.slow
@pytest.mark.data
def test_checkpoints_of_others_are_converted(data_root: Path, text: Path) -> None:
    """Hugging Face folders as flash-linear-attention wrote them."""
    for kind in ("gla", "kda", "rwkv7", "mom", "mamba2"):
        words = [data_root / "checkpoints" / kind, "--calibrate", text, *BRIEF, "--set", "report.layer_tokens=0"]
        result = found(*words, "--scheme", "calibrated", "--out", kind)
        assert result["execution"]["largest"] < 1e-3 and result["spikes"] < 1.2
        if kind in ("rwkv7", "mom"):
            assert "was not rotated" in result["remarks"][0]


def test_one_percent_is_stated_where_no_strength_is_named(
    trained: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dense step of a large model is not timed, for its float32 weights would fill the memory."""
    monkeypatch.setattr("neurosim.language.conversion.speed.FLOAT_BYTES", 1000)
    words = ["convert", str(trained), "--calibrate", str(text), *BRIEF, *TIMED]
    result = command.result_of(*words, "--set", "choice.tokens=256", "--set", "choice.trials=2", "--out", "one")
    assert result["choice"]["limit"] == 0.01 and result["coding"]["k"] == result["choice"]["strength"]
    assert "loss = 0.01" in (Path("one") / "config.toml").read_text()
    assert {"choose", "convert", "compare", "execute", "write", "speed"} < result["timings"].keys()
    assert result["speed"]["dense"] is None and result["speed"]["spiking"] > 0
    weights = 4 * read_model(trained / "model").parameter_count() / 1e6
    assert f"the dense step was not timed: its float32 weights would take {weights:.0f} MB" in result["remarks"][-1]
    assert all(trial["seconds"] > 0 for trial in result["choice"]["trials"])
    assert "ms a byte" in Path("one/report.html").read_text()
    told = neurosim("convert", trained, "--calibrate", text, *BRIEF, *TIMED, "--k", "2")
    assert "timing the compiled step on 16 bytes" in told.stderr and "dense in float32" not in told.stdout

    assert result["sent_as"] == "canonical" and result["spikes"] <= result["by_expansion"]["bitwise"]

    def shown(*words: str) -> tuple[object, ...]:
        config = json.loads(neurosim("convert", trained, *words, "--show-config", "--json").stdout)
        return config["choice"].get("loss"), *map(config["coding"].get, ("expansion", "price", "balance"))

    assert shown() == (0.01, "canonical", 0.5, True)
    assert shown("--k", "2", "--loss", "5%") == (0.05, "canonical", 0.5, True)
    assert shown("--scheme", "calibrated") == (0.01, None, 0.0, False)
    assert shown("--expansion", "bitwise") == (0.01, "bitwise", 0.0, True)
    Path("named.toml").write_text('[coding]\nscheme = "qcfs"\nlevels = 7\n')
    spikes = ("--scheme", "calibrated", "--set", "coding.spikes=0.5")
    for named in (("--k", "2"), spikes, ("--config", "named.toml"), ("--scheme", "learned")):
        assert shown(*named) == (None, None, 0.0, False)
    curve = json.loads(neurosim("convert", "curve", trained, "--show-config", "--json").stdout)
    assert "loss" not in curve["choice"] and "expansion" not in curve["coding"]


def test_a_coding_for_a_stated_loss(trained: Path, text: Path) -> None:
    """The trials, the chosen point and the stated loss are in results, manifest and page."""
    words = ["convert", str(trained), "--loss", "1%", "--k", "1", "--calibrate", str(text), *BRIEF]
    words += ["--set", "choice.tokens=512", "--set", "choice.trials=5"]
    result = command.result_of(*words, "--out", "stated")
    choice = result["choice"]
    assert choice["limit"] == 0.01 and choice["name"] == "k" and choice["met"] and choice["tokens"] == 512
    assert result["coding"]["k"] == choice["strength"] in [trial["strength"] for trial in choice["trials"]]
    good = [trial["strength"] for trial in choice["trials"] if trial["increase"] <= 0.01]
    assert choice["strength"] == min(good) and len(choice["trials"]) <= 5
    # A model of a few updates is hardly ever right: its loss rises more than its predictions diverge.
    assert result["perplexity_error"] > 0 and choice["ratio"] > 1
    manifest = read_json(Path("stated") / "manifest.json")
    assert manifest["choice"] == choice
    page = (Path("stated") / "report.html").read_text()
    assert "Choice of the coding" in page and "active channels, %" in page and "ms a byte" not in page
    assert all(trial["seconds"] is None for trial in choice["trials"])
    assert "Trials for at most 1.00" in page
    assert not any("--loss" in remark for remark in result["remarks"])
    coarse = ["convert", str(trained), "--k", ".3", "--calibrate", str(text), *BRIEF]
    remarks = command.result_of(*coarse, "--out", "coarse")["remarks"]
    assert "--loss 1% chooses the coding for at most one percent" in remarks[-1]
    assert "--loss: must be a fraction such as 1% or 0.01 (got 'one')" in refused(trained, "--loss", "one")
    assert "choice.loss: must be > 0 and < 10 (got -0.01, from" in refused(trained, "--loss=-1%")
