"""Promise: files are data. Pickles, expressions and models by others are refused or read, and nothing in them runs."""

from __future__ import annotations

import contextlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from neurosim import NeurosimError, Simulation
from neurosim.app.cli import main
from neurosim.data import read, read_state


class Bomb:
    """An object that makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    path = tmp_path / "it ran"
    # The bomb goes off where somebody unpickles it.
    pickle.loads(pickle.dumps(Bomb(path)))
    assert path.exists()
    path.unlink()
    return path


def npy(path: Path, bomb: Bomb) -> None:
    np.save(path, np.array([bomb], object), allow_pickle=True)


def npz(path: Path, bomb: Bomb) -> None:
    np.savez(path, t=np.arange(3), x=np.array([bomb] * 3, object), y=np.arange(3), p=np.arange(3))


def plain(path: Path, bomb: Bomb) -> None:
    path.write_bytes(pickle.dumps(bomb))


@pytest.mark.parametrize("write", [npy, npz, plain])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".bin", ".mat", ".h5", ".csv", ".pkl", ".aedat4", ".raw"])
def test_pickles_in_recordings(write: Any, suffix: str, marker: Path, tmp_path: Path) -> None:
    path = tmp_path / f"recording{suffix}"
    with path.open("wb") as file:
        # numpy adds its own suffix to a path, not to a file.
        write(file if write is not plain else path, Bomb(marker))
    with pytest.raises(NeurosimError):
        read(path)
    assert not marker.exists()


@pytest.mark.parametrize("load", [lambda path: read_state(path, "Readout", 1), Simulation.load])
def test_pickles_in_saved_states(load: Any, marker: Path, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    plain(path, Bomb(marker))
    with pytest.raises((NeurosimError, TypeError)):
        load(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "model.pth", "tokenizer.model"])
def test_pickles_in_models(name: str, marker: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from neurosim.language import read_model

    folder = tmp_path / "model"
    folder.mkdir()
    config = {"model_type": "gla", "hidden_size": 16, "num_hidden_layers": 1, "num_heads": 2, "vocab_size": 32}
    # What transformers would import, with `trust_remote_code`.
    config |= {"auto_map": {"AutoModel": "modeling.Model"}, "architectures": ["GLAForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n")
    plain(folder / name, Bomb(marker))
    with pytest.raises(NeurosimError):
        read_model(folder)
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        'seed = \'__import__("pathlib").Path("{marker}").touch()\'',
        "[liquid]\nneurons = 'exec(\"import pathlib; pathlib.Path({marker!r}).touch()\")'",
        "[data]\nname = 'digits; touch {marker}'",
        "[data]\nroot = '$(touch {marker})'",
    ],
)
def test_expressions_in_settings(text: str, marker: Path, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text.replace("{marker!r}", "'" + str(marker) + "'").replace("{marker}", str(marker)))
    result = CliRunner().invoke(main, ["simulate", "--config", str(path), "--show-config"])
    assert not marker.exists()
    # A root is a name of a folder and only that, so it is shown as it stands.
    assert result.exit_code == 2 or "$(touch" in result.output


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("dv/dt = __import__('pathlib').Path('{marker}').touch()", {}),
        ("dv/dt = (lambda: 0).__globals__", {}),
        ("dv/dt = open('{marker}', 'w')", {}),
        ("dv/dt = [x for x in ().__class__.__bases__[0].__subclasses__()]", {}),
        ("dv/dt = -v", {"name": "M(object):\n    open('{marker}', 'w')\nclass N"}),
        ("dv/dt = -v", {"parameters": {"a = open('{marker}', 'w')\n    b": 1.0}}),
        ("dv/dt = -v", {"threshold": "open('{marker}', 'w')"}),
        ("dv/dt = -v", {"reset": "v = open('{marker}', 'w')"}),
    ],
)
def test_code_in_equations(text: str, more: dict[str, Any], marker: Path) -> None:
    """A model of equations is written as a module and imported: nothing but names, numbers and operators gets there."""
    pytest.importorskip("sympy")
    from neurosim.network import equations

    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            return {placed(name): number for name, number in value.items()}
        return value.replace("{marker}", str(marker))

    with pytest.raises(NeurosimError):
        equations(placed(text), **{name: placed(value) for name, value in more.items()})
    assert not marker.exists()


@pytest.mark.parametrize("remark", ['"""\nopen({marker!r}, "w")\n"""', "\\", '"""', "\\u0022\\u0022\\u0022"])
def test_remarks_in_equations(remark: str, marker: Path) -> None:
    """The equations stand in the docstring of that module, remarks and units with them."""
    pytest.importorskip("sympy")
    from neurosim.network import equations

    words = remark.replace("{marker!r}", repr(str(marker)))
    for text in (f"dv/dt = -v  # {words}", f"dv/dt = -v : {words}"):
        with contextlib.suppress(NeurosimError):
            equations(text, threshold="v > 1", reset="v = 0")
        assert not marker.exists()
