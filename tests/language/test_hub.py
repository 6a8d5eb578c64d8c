"""Names on the hub: found in a cache that was made by hand, without a network; what is missing is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.command import neurosim
from helpers.gguf_files import write_recorded
from helpers.recorded import write_folder

from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.language import read_model
from neurosim.language.attention.hub import is_hub_name, resolve_model

constants = pytest.importorskip("huggingface_hub.constants", reason="the library huggingface_hub is not installed")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "f" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two revisions of `owner/small`, of which the newer is `main`, and `owner/files` with GGUF files."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name, commit, case in (("small", COMMIT, "llama"), ("small", OLDER, "qwen3")):
        snapshot = folder / f"models--owner--{name}" / "snapshots" / commit
        snapshot.mkdir(parents=True)
        write_folder(case, snapshot)
    files = folder / "models--owner--files" / "snapshots" / COMMIT
    files.mkdir(parents=True)
    path = write_recorded("llama", files)
    shutil.copy(path, files / "small-Q8_0.gguf")
    path.rename(files / "small-Q4_1.gguf")
    for name in ("small", "files"):
        refs = folder / f"models--owner--{name}" / "refs"
        refs.mkdir()
        (refs / "main").write_text(COMMIT)
    return folder


def test_names() -> None:
    for name in ("owner/name", "a-b/c.d_e@main", "owner/name:Q4_K_M", f"owner/name:x.gguf@{COMMIT}"):
        assert is_hub_name(name)
    for name in ("name", "/owner/name", "./owner/name", "../owner", "a/b/c", "owner/", "~/model", "owner/name@"):
        assert not is_hub_name(name)


def test_the_cache_comes_first(cache: Path) -> None:
    found = resolve_model("owner/small")
    assert found.commit == COMMIT and found.pinned == f"owner/small@{COMMIT}"
    assert read_model(found.path).config.layers[0].options["qk_norm"] is False
    again = resolve_model(f"owner/small@{OLDER}")
    assert again.commit == OLDER and read_model(again.path).config.layers[0].options["qk_norm"] is True
    assert resolve_model(found.pinned) == found


def test_one_gguf_file_is_named(cache: Path) -> None:
    found = resolve_model("owner/files:q4_1")
    assert found.path.name == "small-Q4_1.gguf" and found.pinned == f"owner/files:q4_1@{COMMIT}"
    assert resolve_model("owner/files:small-Q8_0.gguf").path.name == "small-Q8_0.gguf"


def test_the_first_part_of_a_gguf_model_stands_for_all(cache: Path) -> None:
    files = cache / "models--owner--files" / "snapshots" / COMMIT
    for number in (1, 2):
        shutil.copy(files / "small-Q8_0.gguf", files / f"big-Q6_K-0000{number}-of-00002.gguf")
    assert resolve_model("owner/files:Q6_K").path.name == "big-Q6_K-00001-of-00002.gguf"


def test_what_is_not_there_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the cache, or there in part: then it is fetched, for which there is no network here."""
    messages: list[str] = []
    for name in ("owner/none", f"owner/small@{'a' * 40}"):
        with pytest.raises(NeurosimMissingError, match=rf"{name}: no such file or folder, and as a name on the hub"):
            resolve_model(name, messages.append)
    assert messages[0] == "fetching owner/none from the hub"
    (cache / "models--owner--small" / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(
        NeurosimMissingError, match=r"must have config.json and its weights as safetensors \(got config"
    ):
        resolve_model("owner/small")
    for part, seen in (("Q2_K", "none"), ("small", "small-Q4_1.gguf, small-Q8_0.gguf")):
        with pytest.raises(NeurosimInputError, match=rf"must name one GGUF file \(got {seen}\); name more of it"):
            resolve_model(f"owner/files:{part}")
    with pytest.raises(NeurosimInputError, match="must be owner/name"):
        resolve_model("name")
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(NeurosimMissingError, match=r"needs huggingface_hub .*pip install .*\[hub\]'"):
        resolve_model("owner/small")


def test_the_command_takes_a_name(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run notes the commit, and its folder has the model."""
    monkeypatch.chdir(tmp_path)
    ids = tmp_path / "ids.npy"
    np.save(ids, np.arange(3000) * 7 % 37)
    words = [
        "--calibrate",
        ids,
        "--tokens",
        "64",
        "--set",
        "report.executed_tokens=16",
        "--set",
        "calibration.length=16",
    ]
    told = neurosim("convert", "owner/small", *words, "--out", "r")
    assert f"owner/small at commit {COMMIT}" in told.stderr
    result = json.loads(Path("r/metrics.json").read_text())
    assert result["model"] == f"owner/small@{COMMIT}" and result["network"] == "small"
    assert (tmp_path / "r/model/config.json").is_file()
