"""Reading checkpoints: logits recorded by the library that wrote them, options by option, and damaged folders."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.attention_kinds import SMALL
from helpers.fla_folders import BASE, OPTIONS, built, folder_of, theirs
from helpers.recorded import write_folder
from safetensors.torch import load_file, save_file

from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, NeurosimWriteError
from neurosim.language import LanguageConfig, LanguageModel, MixerSpec, read_model, write_model
from neurosim.language.attention.huggingface import READERS
from neurosim.language.attention.huggingface.fla import FLA
from neurosim.language.attention.loading import WithoutDraws, empty_model
from neurosim.language.attention.tensors import read_header

# Types without recordings, which test_fla_loops.py compares with loops.
LOOPS = {"comba", "gsa", "hgrn"}


@pytest.mark.data
@pytest.mark.parametrize("kind", sorted(set(FLA) - LOOPS))
def test_recorded_logits(data_root: Path, kind: str) -> None:
    """Within 1e-5 of what flash-linear-attention 0.6.0 computed, many tokens at once and one at a time."""
    folder = data_root / "checkpoints" / kind
    model = read_model(folder)
    golden = load_file(folder / "golden.safetensors")
    if kind == "mom" and torch.backends.cpu.get_cpu_capability() != "AVX512":
        pytest.skip("the recorded logits follow torch's unstable argsort on AVX-512")
    with torch.no_grad():
        logits, _ = model(golden["tokens"])
        assert float((logits - golden["logits"]).abs().max()) < 1e-5
        if kind == "mom":
            return  # recorded with tokens of a memory out of order: see `MoM.library_order`
        steps = []
        state = None
        for t in range(golden["tokens"].shape[1]):
            out, state = model.step(golden["tokens"][:, t], state)
            steps.append(out)
    assert float((torch.stack(steps, 1) - golden["logits"]).abs().max()) < 1e-5


@pytest.mark.parametrize("kind, options, there, absent", OPTIONS, ids=lambda x: x if isinstance(x, str) else None)
def test_options(tmp_path: Path, kind: str, options: dict[str, Any], there: set[str], absent: set[str]) -> None:
    """Folders with other options than those recorded: names of tensors, and every tensor in its place."""
    model = folder_of(tmp_path, kind, BASE | options)
    names = {name.split(".", 4)[-1] for name in load_file(tmp_path / "model.safetensors") if ".layers.0." in name}
    assert there <= names and not absent & names
    read = read_model(tmp_path)
    tokens = torch.randint(40, (2, 11), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(read(tokens)[0], model.eval()(tokens)[0])


def test_biases_of_convolutions_are_found_by_their_tensors(tmp_path: Path) -> None:
    config = BASE | {"head_dim": 8}
    model = built("kda", config, frozenset({f"model.layers.{i}.attn.q_conv1d.bias" for i in (0, 1)}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "kda"} | config))
    save_file(theirs(model, "kda", True), tmp_path / "model.safetensors")
    tokens = torch.arange(9)[None]
    with torch.no_grad():
        torch.testing.assert_close(read_model(tmp_path)(tokens)[0], model(tokens)[0])


@pytest.mark.parametrize("kept", ["feature_map_q", "feature_map_k"])
def test_tied_tensors_are_stored_once(tmp_path: Path, kept: str) -> None:
    config = BASE | {"feature_map": "hedgehog", "tie_feature_map_qk": True}
    model = folder_of(tmp_path, "linear_attn", config)
    other = {"feature_map_q": "feature_map_k", "feature_map_k": "feature_map_q"}[kept]
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({n: v for n, v in tensors.items() if other not in n}, tmp_path / "model.safetensors")
    tokens = torch.arange(9)[None]
    with torch.no_grad():
        torch.testing.assert_close(read_model(tmp_path)(tokens)[0], model(tokens)[0])


@pytest.fixture
def gla(tmp_path: Path) -> Path:
    folder_of(tmp_path / "gla", "gla", dict(BASE))
    return tmp_path / "gla"


def rewrite(folder: Path, change: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(gla: Path, dtype: torch.dtype) -> None:
    expected = read_model(gla).state_dict()
    rewrite(gla, lambda t: t.update({name: value.to(dtype) for name, value in t.items()}))
    read = read_model(gla)
    for name, value in read.state_dict().items():
        matrix = value.dim() == 2 and dtype.itemsize == 2
        assert value.dtype == (dtype if matrix else torch.float32)
        torch.testing.assert_close(value.float(), expected[name].to(dtype).to(torch.float32))
    logits = read(torch.arange(9)[None])[0]
    assert logits.dtype == torch.float32 and torch.equal(logits, read.float()(torch.arange(9)[None])[0])


def test_sharded_folders(gla: Path) -> None:
    whole = load_file(gla / "model.safetensors")
    expected = read_model(gla).state_dict()
    names = sorted(whole)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    places = {name: files[i % 2] for i, name in enumerate(names)}
    for file in files:
        save_file({name: whole[name] for name in names if places[name] == file}, gla / file)
    (gla / "model.safetensors").unlink()
    (gla / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert all(torch.equal(value, expected[name]) for name, value in read_model(gla).state_dict().items())
    places[names[0]] = files[1]
    (gla / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    with pytest.raises(NeurosimFormatError, match=f"tensor '{names[0]}' is not in the file that the index names"):
        read_model(gla)
    places[names[0]] = "../elsewhere.safetensors"
    (gla / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    with pytest.raises(NeurosimFormatError, match="must lie in a file of this folder"):
        read_model(gla)
    (gla / files[0]).unlink()
    (gla / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(names, files[0])}))
    with pytest.raises(NeurosimMissingError, match=r"00001-of-00002\.safetensors: no such file"):
        read_model(gla)


def test_missing_extra_and_misshapen_tensors_are_named(gla: Path) -> None:
    rewrite(gla, lambda t: t.update({"model.layers.0.attn.q_prj.weight": t.pop("model.layers.0.attn.q_proj.weight")}))
    with pytest.raises(
        NeurosimFormatError, match=r"missing 'model.layers.0.attn.q_proj.weight'; unexpected .*q_prj"
    ) as error:
        read_model(gla)
    assert "is 'model.layers.0.attn.q_prj.weight' meant to be 'model.layers.0.attn.q_proj.weight'?" in str(error.value)
    rewrite(
        gla,
        lambda t: t.update(
            {"model.layers.0.attn.q_proj.weight": t.pop("model.layers.0.attn.q_prj.weight").T.contiguous()}
        ),
    )
    with pytest.raises(
        NeurosimFormatError, match=r"'model.layers.0.attn.q_proj.weight' must be \[16, 32\] \(got \[32, 16\]\)"
    ):
        read_model(gla)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "base_model.model."])
def test_rates_of_positions_and_names_of_wrappers_are_passed_over(gla: Path, prefix: str) -> None:
    tokens = torch.arange(5)[None]
    with torch.no_grad():
        expected, *_ = read_model(gla)(tokens)

    def wrap(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.0.attn.rotary_emb.inv_freq"] = torch.ones(4)
        for name in list(tensors):
            tensors[prefix + name] = tensors.pop(name)

    rewrite(gla, wrap)
    with torch.no_grad():
        logits, *_ = read_model(gla)(tokens)
    assert torch.equal(logits, expected)


def test_gates_and_their_values_in_one_tensor(gla: Path) -> None:
    """As early versions of the library wrote them."""
    tokens = torch.arange(5)[None]
    with torch.no_grad():
        expected, *_ = read_model(gla)(tokens)

    def join(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.endswith("mlp.gate_proj.weight")]:
            values = tensors.pop(name.replace("gate_proj", "up_proj"))
            tensors[name] = torch.cat([tensors[name], values])

    rewrite(gla, join)
    with torch.no_grad():
        logits, *_ = read_model(gla)(tokens)
    assert torch.equal(logits, expected)


@pytest.mark.parametrize("kind", FLA)
def test_names_there_and_back(kind: str) -> None:
    extra = {"head_dim": 16} if kind != "gla" else {}
    model = built(kind, BASE | extra)
    reader = READERS[kind]
    for name in theirs(model, kind, True):
        assert reader.theirs(reader.ours(name)) == name


def test_a_config_that_says_too_much_takes_no_memory(gla: Path) -> None:
    config = json.loads((gla / "config.json").read_text()) | {"intermediate_size": 10**12}
    (gla / "config.json").write_text(json.dumps(config))
    with pytest.raises(NeurosimFormatError, match=r"mlp.*must be \[.*1000000000000"):
        read_model(gla)


def test_integers_are_refused_by_name(gla: Path) -> None:
    rewrite(gla, lambda t: t.update({"model.norm.weight": t["model.norm.weight"].to(torch.int8)}))
    with pytest.raises(NeurosimFormatError, match=r"tensor 'model\.norm\.weight': type I8 is no float"):
        read_model(gla)


def lie(folder: Path, change: Any) -> None:
    """Rewrite the header of a checkpoint."""
    raw = (folder / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    entries = json.loads(raw[8 : 8 + length])
    change(entries)
    header = json.dumps(entries).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + raw[8 + length :])


NAME = "model.layers.1.mlp.up_proj.weight"
LIES = {
    "beyond the file": ({"data_offsets": [0, 10**12]}, f"tensor '{NAME}': lies at bytes 0 to 1000000000000 of"),
    "shape": ({"shape": [48, 33]}, rf"tensor '{NAME}': \[48, 33\] of F32 takes 6336 bytes, the header gives 6144"),
    "negative": ({"shape": [-48, -32]}, rf"tensor '{NAME}': shape must be integers >= 0 \(got \[-48, -32\]\)"),
    "type": ({"dtype": "F8_E4M3"}, f"tensor '{NAME}': type F8_E4M3 is not read"),
    "offsets": ({"data_offsets": "all"}, f"tensor '{NAME}': data_offsets must be two integers"),
    "huge": ({"shape": [2**40, 2**40]}, f"tensor '{NAME}': .* takes"),
}


@pytest.mark.parametrize("case", LIES)
def test_headers_that_lie_are_found_out(gla: Path, case: str) -> None:
    change, message = LIES[case]
    lie(gla, lambda entries: entries[NAME].update(change))
    with pytest.raises(NeurosimFormatError, match=message):
        read_model(gla)


def test_two_tensors_on_the_same_bytes_are_refused(gla: Path) -> None:
    lie(gla, lambda e: e[NAME].update(data_offsets=e["model.layers.0.mlp.up_proj.weight"]["data_offsets"]))
    with pytest.raises(NeurosimFormatError, match="could not be read"):
        read_model(gla)


@pytest.mark.parametrize("size", [0, 4, 8, 200, -1])
def test_files_cut_short(gla: Path, size: int) -> None:
    raw = (gla / "model.safetensors").read_bytes()
    (gla / "model.safetensors").write_bytes(raw[:size])
    with pytest.raises(NeurosimFormatError, match=r"model\.safetensors"):
        read_model(gla)


CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"model_type": "gated_deltnet"}, "model_type: unknown name 'gated_deltnet'; did you mean 'gated_deltanet'"),
    ({"attnres_block_size": 4}, "attnres_block_size: residuals by attention are not supported"),
    ({"hidden_act": "gelu"}, "hidden_act: must be 'swish'"),
    ({"hidden_size": "wide"}, r"hidden_size: must be an integer > 0 \(got 'wide'\)"),
    ({"attn": {"layers": [5], "num_heads": 2}}, r"attn.layers: must be different layers of 0 to 1 \(got 5\)"),
    ({"attn": {"layers": [1]}}, "attn.num_heads: must be an integer > 0"),
    ({"attn": {"layers": [1], "num_heads": 2, "sink": 1}}, "option of a hybrid layer: unknown name 'sink'"),
    ({"attn": 3}, "attn: must be a table or a list of tables"),
    ({"num_heads": 3}, "must be a multiple of 3"),
    ({"feature_map": "swush"}, "GLA.feature_map: unknown name 'swush'; did you mean 'swish'"),
    ({"expand_k": 0.37}, "expand_k: must give an integer part of"),
]


@pytest.mark.parametrize("change, message", CONFIGS)
def test_configs_that_are_not_supported_say_why(gla: Path, change: dict[str, Any], message: str) -> None:
    config = json.loads((gla / "config.json").read_text()) | change
    (gla / "config.json").write_text(json.dumps(config))
    with pytest.raises(NeurosimInputError, match=message):
        read_model(gla)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(
        NeurosimMissingError, match=r"config.json: no such file \(the folder has no files\); give the fold"
    ):
        read_model(tmp_path)
    with pytest.raises(
        NeurosimMissingError, match=r"none: no such file or folder; .*\.gguf or \.pth file, or owner/name"
    ):
        read_model(tmp_path / "none")
    for first, message in (
        (b"", r"got a file that begins with b''\); convert it to safetensors or GGUF"),
        (b"GGUF\3", r"got a GGUF file\); rename it to end in \.gguf"),
        (
            b"PK\3\4",
            r"got a zip archive, as torch\.save writes\); convert a language model to safetensors; of RWKV, rename it",
        ),
        (b"\x80\2", r"got a pickle, which may run programs when it is read\); convert it to safetensors"),
        (b"fmgg\x65", r"got a ggml file, as rwkv\.cpp writes\); give the \.pth file that it was made of"),
        (b"tjgg\3", r"got a ggml file\); convert it to GGUF"),
        (b"\x08\0\0\0\0\0\0\0{}", r"got a safetensors file\); give the folder that has it and its config\.json"),
    ):
        (tmp_path / "model.bin").write_bytes(first)
        with pytest.raises(NeurosimMissingError, match=r"model\.bin: must be a folder with config\.json, .*" + message):
            read_model(tmp_path / "model.bin")
    with pytest.raises(
        NeurosimMissingError, match=r"no such file \(the folder has 'model\.bin'\); give the folder of a"
    ):
        read_model(tmp_path)
    (tmp_path / "of_8_bits.gguf").write_bytes(b"GGUF")
    with pytest.raises(
        NeurosimMissingError, match=r"has 'model\.bin', 'of_8_bits\.gguf'\); give the file .*of_8_bits\.gguf"
    ):
        read_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(NeurosimFormatError, match=r"line 1, column 2: expected JSON"):
        read_model(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(NeurosimFormatError, match="must be a JSON object"):
        read_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gla"}')
    with pytest.raises(
        NeurosimMissingError, match=r"model.safetensors: no such file \(the folder has model\.bin\); conver"
    ):
        read_model(tmp_path)
    (tmp_path / "model.bin").unlink()
    with pytest.raises(NeurosimMissingError, match=r"model.safetensors: no such file; the checkpoint is not complete"):
        read_model(tmp_path)


@pytest.mark.parametrize("tied", [False, True])
def test_our_own_folders(tmp_path: Path, tied: bool) -> None:
    layers = (
        MixerSpec("gla", {"num_heads": 2}),
        MixerSpec("mamba2", {"head_dim": 16, "state_size": 4, "dt_limit": [0.001, 0.1]}),
    )
    model = LanguageModel(LanguageConfig(layers, 30, 32, hidden=16, tied=tied), seed=2)
    write_model(tmp_path, model)
    read = read_model(tmp_path)
    tokens = torch.arange(12)[None]
    assert read.config.to_json() == model.config.to_json()
    with torch.no_grad():
        assert torch.equal(read(tokens)[0], model(tokens)[0])
    # What begins elsewhere in memory may be multiplied in another order: a model that is read must not.
    rewrite(tmp_path, lambda tensors: None)  # as a library lays them out
    assert any(entry.start % 64 for entry in read_header(tmp_path / "model.safetensors").values())
    assert all(value.data_ptr() % 64 == 0 for value in read_model(tmp_path).state_dict().values())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"format": 2}))
    with pytest.raises(NeurosimInputError, match=r"format: must be 1: upgrade neurosim \(got 2\)"):
        read_model(tmp_path)


def test_nothing_is_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = LanguageModel(LanguageConfig((MixerSpec("gla"),), 30, 32), seed=1)
    write_model(tmp_path, one)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def refused(path: Path, *rest: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neurosim.language.attention.checkpoint.save_tensors", refused)
    with pytest.raises(NeurosimWriteError, match="No space left on device"):
        write_model(tmp_path, LanguageModel(LanguageConfig((MixerSpec("hgrn2"),), 30, 32)))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_model_without_memory_draws_no_weights() -> None:
    config = LanguageConfig((MixerSpec("gla", {"num_heads": 2}), MixerSpec("mamba2", {"head_dim": 4})), width=8)
    assert all(value.is_meta for value in empty_model(config, "here").state_dict().values())
    x = torch.zeros(4, 3)
    with WithoutDraws():
        torch.nn.init.normal_(x)
        torch.nn.init.kaiming_uniform_(tensor=x)
        x.uniform_()
        x[0, 0] += 1
    assert x.sum() == 1


HIPPO: list[dict[str, Any]] = [
    {"structured": True, "copies": 2},
    {"structured": True, "measure": "legt"},
    {"structured": True, "measure": "random", "outputs": 2},
    {"measure": "legt", "copies": 2},
]


@pytest.mark.parametrize("kind, options", [*SMALL.items(), *(("lssl", options) for options in HIPPO)])
def test_a_model_without_memory_has_the_same_tensors(kind: str, options: dict[str, Any]) -> None:
    config = LanguageConfig((MixerSpec(kind, options),) * 2, width=24, hidden=16)
    of_values, without = (
        {name: (value.shape, value.dtype) for name, value in model.state_dict().items()}
        for model in (LanguageModel(config), empty_model(config, "here"))
    )
    assert of_values == without
    assert all(value.is_meta for value in empty_model(config, "here").state_dict().values())


@pytest.mark.slow
def test_no_kind_asks_the_compiler_of_torch() -> None:
    """Its import takes seconds, and the process then ends in lines about what it leaves."""
    program = (
        "import json, sys; from neurosim.language import LanguageConfig, MixerSpec; "
        "from neurosim.language.attention.loading import empty_model\n"
        "for kind, options in json.loads(sys.argv[1]):\n"
        "    empty_model(LanguageConfig((MixerSpec(kind, options),) * 2, width=24, hidden=16), kind)\n"
        "    if any(name.startswith(('torch._dynamo.', 'sympy')) for name in sys.modules): sys.exit(kind)"
    )
    cases = json.dumps([*SMALL.items(), *(("lssl", options) for options in HIPPO)])
    done = subprocess.run([sys.executable, "-c", program, cases], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_reading_imports_no_compiler_of_torch(tmp_path: Path) -> None:
    """Which takes 80 MB and two seconds."""
    mixers = (
        MixerSpec("softmax", {"num_heads": 2}),
        MixerSpec("gated_deltanet", {"num_heads": 1, "head_dim": 8}),
        # Its feature maps begin as the identity.
        MixerSpec("window_linear", {"attention": {"num_heads": 2}}),
    )
    own = tmp_path / "own"
    other = tmp_path / "other"
    own.mkdir()
    other.mkdir()
    write_model(own, LanguageModel(LanguageConfig(mixers, width=8)))
    # Weights of its norms are computed, also of tensors without memory.
    write_folder("gemma2", other)
    program = (
        "import sys; from neurosim.language import read_model; [read_model(path) for path in sys.argv[1:]]; "
        "print([name for name in sys.modules if name.startswith(('torch._dynamo.', 'sympy'))])"
    )
    done = subprocess.run([sys.executable, "-c", program, own, other], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
