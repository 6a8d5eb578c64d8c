"""RWKV-5, 6 and 7 from the RWKV project's files, against loops written from its equations; files of torch.save."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.activations import sigmoid
from helpers.rwkv import HEADS, LAYERS, SIZE, WIDTH, hugging_face, hugging_face_config, tensors
from safetensors.torch import load_file, save_file

from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.language import LanguageConfig, LanguageModel, MixerSpec, read_model, write_model
from neurosim.language.attention.pth import read_pth

TOKENS = [3, 28, 0, 7, 7, 11, 2, 19, 5]
Arrays = dict[str, np.ndarray]


def normed(x: np.ndarray, p: Arrays, name: str, eps: float = 1e-5, groups: int = 1) -> np.ndarray:
    y = x.reshape(groups, -1)
    y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + eps)
    return y.reshape(-1) * p[f"{name}.weight"] + p[f"{name}.bias"]


def attention_5_6(p: Arrays, b: str, x: np.ndarray, last: np.ndarray, S: np.ndarray, version: int) -> np.ndarray:
    """Time mixing of RWKV-5 and 6 of one token; S [H, K, V] is updated in place."""
    if version == 5:
        m = {n: x * p[f"{b}.time_mix_{n}"] + last * (1 - p[f"{b}.time_mix_{n}"]) for n in "kvrg"}
        w = np.exp(-np.exp(p[f"{b}.time_decay"]))
    else:
        d = last - x
        low = np.tanh((x + d * p[f"{b}.time_maa_x"]) @ p[f"{b}.time_maa_w1"]).reshape(5, 1, -1)
        more = (low @ p[f"{b}.time_maa_w2"])[:, 0]
        m = {n: x + d * (p[f"{b}.time_maa_{n}"] + more[i]) for i, n in enumerate("wkvrg")}
        raw = p[f"{b}.time_decay"] + np.tanh(m["w"] @ p[f"{b}.time_decay_w1"]) @ p[f"{b}.time_decay_w2"]
        w = np.exp(-np.exp(raw)).reshape(HEADS, SIZE)
    layers = {"r": "receptance", "k": "key", "v": "value"}
    r, k, v = ((p[f"{b}.{layers[n]}.weight"] @ m[n]).reshape(HEADS, SIZE) for n in "rkv")
    g = p[f"{b}.gate.weight"] @ m["g"]
    out = np.zeros((HEADS, SIZE))
    for h in range(HEADS):
        new = np.outer(k[h], v[h])
        out[h] = r[h] @ (S[h] + p[f"{b}.time_faaaa"][h][:, None] * new)
        S[h] = w[h][:, None] * S[h] + new
    out = normed(out.reshape(-1), p, f"{b}.ln_x", 64e-5, HEADS)
    return p[f"{b}.output.weight"] @ (out * g * sigmoid(g))


def attention_7(
    p: Arrays, b: str, x: np.ndarray, last: np.ndarray, S: np.ndarray, first: list[np.ndarray]
) -> np.ndarray:
    m = {n: x + (last - x) * p[f"{b}.x_{n}"] for n in "rwkvag"}
    r, k, v = (p[f"{b}.{layer}.weight"] @ m[n] for n, layer in (("r", "receptance"), ("k", "key"), ("v", "value")))
    raw = p[f"{b}.w0"] + np.tanh(m["w"] @ p[f"{b}.w1"]) @ p[f"{b}.w2"]
    w = np.exp(-np.exp(-np.log1p(np.exp(-raw)) - 0.5)).reshape(HEADS, SIZE)
    a = sigmoid(p[f"{b}.a0"] + m["a"] @ p[f"{b}.a1"] @ p[f"{b}.a2"])
    g = sigmoid(m["g"] @ p[f"{b}.g1"]) @ p[f"{b}.g2"]
    if first:
        v = v + (first[0] - v) * sigmoid(p[f"{b}.v0"] + m["v"] @ p[f"{b}.v1"] @ p[f"{b}.v2"])
    else:
        first.append(v)
    kk = (k * p[f"{b}.k_k"]).reshape(HEADS, SIZE)
    kk = kk / np.linalg.norm(kk, axis=1, keepdims=True)
    k = k * (1 + (a - 1) * p[f"{b}.k_a"])
    r, k, v, a = (value.reshape(HEADS, SIZE) for value in (r, k, v, a))
    out = np.zeros((HEADS, SIZE))
    for h in range(HEADS):
        S[h] = w[h][:, None] * S[h] - np.outer(kk[h] * a[h], kk[h] @ S[h]) + np.outer(k[h], v[h])
        out[h] = r[h] @ S[h]
    out = normed(out.reshape(-1), p, f"{b}.ln_x", 64e-5, HEADS).reshape(HEADS, SIZE)
    out = out + (r * k * p[f"{b}.r_k"]).sum(1, keepdims=True) * v
    return p[f"{b}.output.weight"] @ (out.reshape(-1) * g)


def channels(p: Arrays, b: str, x: np.ndarray, last: np.ndarray, version: int) -> np.ndarray:
    mix = {5: "time_mix_", 6: "time_maa_", 7: "x_"}[version]

    def mixed(n: str) -> np.ndarray:
        share = p[f"{b}.{mix}{n}"]
        if version == 5:
            return x * share + last * (1 - share)
        return x + (last - x) * share

    out = p[f"{b}.value.weight"] @ np.maximum(p[f"{b}.key.weight"] @ mixed("k"), 0) ** 2
    if version == 7:
        return out
    return sigmoid(p[f"{b}.receptance.weight"] @ mixed("r")) * out


def loop(version: int) -> np.ndarray:
    """[T, words] logits, token by token."""
    p: Arrays = {n: v.double().numpy().squeeze() for n, v in tensors(version).items()}
    tails = np.zeros((LAYERS, 2, WIDTH))
    S = np.zeros((LAYERS, HEADS, SIZE, SIZE))
    logits = []
    for token in TOKENS:
        x = normed(p["emb.weight"][token], p, "blocks.0.ln0")
        first = list[np.ndarray]()
        for i in range(LAYERS):
            b = f"blocks.{i}"
            y = normed(x, p, f"{b}.ln1")
            if version == 7:
                x = x + attention_7(p, f"{b}.att", y, tails[i, 0], S[i], first)
            else:
                x = x + attention_5_6(p, f"{b}.att", y, tails[i, 0], S[i], version)
            tails[i, 0] = y
            y = normed(x, p, f"{b}.ln2")
            x = x + channels(p, f"{b}.ffn", y, tails[i, 1], version)
            tails[i, 1] = y
        logits.append(p["head.weight"] @ normed(x, p, "ln_out"))
    return np.stack(logits)


def assert_equal(model: LanguageModel, expected: np.ndarray) -> None:
    steps = []
    state = None
    with torch.no_grad():
        whole = model(torch.tensor([TOKENS]))[0][0].numpy()
        for token in TOKENS:
            out, state = model.step(torch.tensor([token]), state)
            steps.append(out[0].numpy())
    scale = np.abs(expected).max()
    np.testing.assert_allclose(whole, expected, rtol=0, atol=2e-5 * scale)
    np.testing.assert_allclose(np.stack(steps), expected, rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize("version", [5, 6, 7])
def test_pth_files_of_the_project(tmp_path: Path, version: int) -> None:
    torch.save(tensors(version), tmp_path / "model.pth")
    model = read_model(tmp_path / "model.pth")
    assert [layer.kind for layer in model.config.layers] == [f"rwkv{version}"] * LAYERS
    assert_equal(model, loop(version))


@pytest.mark.parametrize("version", [5, 6])
def test_hugging_face_folders_of_the_project(tmp_path: Path, version: int) -> None:
    named = {hugging_face(name): value for name, value in tensors(version).items()}
    save_file(named, tmp_path / "model.safetensors")
    config = hugging_face_config(version)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert_equal(read_model(tmp_path), loop(version))


@pytest.mark.data
def test_a_recorded_rwkv_7_in_the_layout_of_the_project(data_root: Path, tmp_path: Path) -> None:
    """The checkpoint that flash-linear-attention recorded, under the project's names, gives the recorded logits."""
    folder = data_root / "checkpoints" / "rwkv7"
    named = {}
    parts = {"attn": "att", "attn_norm": "ln1", "ffn_norm": "ln2", "pre_norm": "ln0"}
    inside = {"r_proj": "receptance", "k_proj": "key", "v_proj": "value", "o_proj": "output", "g_norm": "ln_x"}
    for name, value in load_file(folder / "model.safetensors").items():
        path = name.removeprefix("model.").split(".")
        if path[0] == "layers":
            path = ["blocks", path[1], parts.get(path[2], path[2]), *path[3:]]
            path[3] = inside.get(path[3], path[3])
            if path[3].endswith("_lora"):
                number = {("0", "weight"): "1", ("2", "weight"): "2", ("2", "bias"): "0"}[path[5], path[6]]
                path = [*path[:3], path[3][0] + number]
        else:
            path[0] = {"embeddings": "emb", "norm": "ln_out", "lm_head": "head"}[path[0]]
        turned = len(path) == 4 and path[3][0] in "wavg" and path[3][1:] in ("1", "2")
        named[".".join(path)] = (value.T if turned else value).contiguous()
    torch.save(named, tmp_path / "model.pth")
    golden = load_file(folder / "golden.safetensors")
    with torch.no_grad():
        logits = read_model(tmp_path / "model.pth")(golden["tokens"])[0]
    assert float((logits - golden["logits"]).abs().max()) < 2e-4 * float(golden["logits"].abs().max())


def saved(value: object, path: Path) -> Path:
    torch.save(value, path)
    return path


def test_files_of_torch_save(tmp_path: Path) -> None:
    """Types, parameters, views, several names of one storage, and tables in tables."""
    from neurosim.language.attention.tensors import MappedFiles

    whole = torch.arange(24.0).view(4, 6)
    table = {"a": whole, "t": whole.T, "cut": whole[1:, 2:4], "p": torch.nn.Parameter(torch.ones(3).half())}
    table |= {"b": torch.randn(5).bfloat16(), "n": torch.arange(3), "none": torch.zeros(0, 3), "one": torch.tensor(2.0)}
    for content in (table, {"state_dict": table, "epoch": 3}, torch.nn.ParameterDict({}).state_dict() | table):
        stored = read_pth(saved(content, tmp_path / "x.pth"))
        files = MappedFiles()
        assert set(stored) == set(table)
        for name, value in table.items():
            assert torch.equal(files.load(stored[name]), value.detach()), name


class Evil:
    def __reduce__(self) -> Any:
        return print, ("was run",)


@pytest.mark.parametrize(
    "content, message",
    [
        ({"a": Evil()}, "names __builtin__.print, which is no tensor; it is not run"),
        ({"a": torch.ones(2), "lr": 0.1}, "'lr' must be a tensor"),
        ([torch.ones(2)], "must hold a table of tensors"),
        (torch.ones(2), "must hold a table of tensors"),
        ({"a": {1, 2}}, "names __builtin__.set, which is no tensor"),
        ({"a": torch.ones(3).to_sparse()}, "which is no tensor; it is not run"),
    ],
)
def test_what_is_no_tensor_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, message: str
) -> None:
    with pytest.raises(NeurosimFormatError, match=message):
        read_pth(saved(content, tmp_path / "x.pth"))
    assert capsys.readouterr().out == ""


def test_damaged_files_of_torch_save(tmp_path: Path) -> None:
    raw = saved({"a": torch.ones(64, 64)}, tmp_path / "x.pth").read_bytes()
    for size in (0, 10, 300, len(raw) // 2, len(raw) - 30):
        (tmp_path / "y.pth").write_bytes(raw[:size])
        with pytest.raises(NeurosimFormatError, match=r"y\.pth"):
            read_pth(tmp_path / "y.pth")
    (tmp_path / "y.pth").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(NeurosimFormatError, match=r"is no file of torch\.save"):
        read_pth(tmp_path / "y.pth")
    with pytest.raises(NeurosimMissingError, match="no such file"):
        read_pth(tmp_path / "z.pth")
    # A header that says more than the file holds, and values that are compressed.
    larger = (b"K@K@\x86", b"M\xff\xffM\xff\xff\x86")
    rewrite(raw, tmp_path / "w.pth", zipfile.ZIP_STORED, *larger)
    with pytest.raises(NeurosimFormatError, match="lies at bytes"):
        read_pth(tmp_path / "w.pth")
    rewrite(raw, tmp_path / "w.pth", zipfile.ZIP_DEFLATED)
    with pytest.raises(NeurosimFormatError, match="missing or compressed"):
        read_pth(tmp_path / "w.pth")


def rewrite(raw: bytes, path: Path, compression: int, old: bytes = b"", new: bytes = b"") -> None:
    """Write the archive again, with other bytes in its pickle."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive, zipfile.ZipFile(path, "w", compression) as out:
        for info in archive.infolist():
            data = archive.read(info)
            out.writestr(info.filename, data.replace(old, new, 1) if info.filename.endswith(".pkl") and old else data)


def test_other_networks_in_pth_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NeurosimFormatError, match=r"belong to no RWKV-5\.2, 6 or 7"):
        read_model(saved({"emb.weight": torch.ones(3, 2)}, tmp_path / "x.pth"))


@pytest.mark.parametrize("version, option", [(5, 1e-5), (6, 1e-5), (7, 1e-5 / SIZE)])
def test_the_epsilon_of_the_norm_is_an_option(tmp_path: Path, version: int, option: float) -> None:
    """Files do not say it, and rwkv.cpp takes another; other kinds have it in their files."""
    torch.save(tensors(version), tmp_path / "model.pth")
    usual = read_model(tmp_path / "model.pth")
    other = read_model(tmp_path / "model.pth", norm_eps=1e-5)
    assert other.layers[0].mixer.norm_eps == pytest.approx(option, rel=1e-9)
    assert usual.layers[0].mixer.norm_eps == pytest.approx(64 * option, rel=1e-9)
    with torch.no_grad():
        logits = [model(torch.tensor([TOKENS]))[0] for model in (usual, other)]
    assert not torch.equal(*logits)
    write_model(tmp_path / "gla", LanguageModel(LanguageConfig((MixerSpec("gla"),), width=32)))
    with pytest.raises(
        NeurosimInputError, match=r"norm_eps: must be left out: it is an option of RWKV alone \(got .*gla"
    ):
        read_model(tmp_path / "gla", norm_eps=1e-5)
    with pytest.raises(NeurosimInputError, match="norm_eps: must be > 0 and < 1"):
        read_model(tmp_path / "model.pth", norm_eps=0.0)
