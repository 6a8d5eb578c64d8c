"""Promise: `--model FILE.py:CLASS` and `--plugin FILE.py` run a file that you name; no run folder names one for you."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers.command import neurosim

from neurosim.app.cli import main

NETWORK = '[simulation]\nduration = 0.01\n\n[[population]]\nname = "E"\nshape = 3\nmodel = "LIF"\n'
COMMANDS = (
    ["runs", "rerun", "one"],
    ["runs", "show", "one"],
    ["runs", "list"],
    ["report", "runs/one"],
    ["measure", "runs/one"],
    ["simulate", "--resume", "runs/one"],
    ["simulate", "--config", "runs/one/config.toml", "--show-config"],
)


@pytest.mark.parametrize("fact", ["models", "plugins", "both"])
def test_a_run_folder_by_others_runs_no_file(fact: str, elsewhere: None) -> None:
    Path("net.toml").write_text(NETWORK)
    neurosim("simulate", "--config", "net.toml", "--quiet", "--out", "runs/one")
    text = "from pathlib import Path\nPath('it ran').touch()\nPLUGINS = {}\nclass Evil:\n    pass\n"
    # Where the manifest says, and where an import would find it.
    for place in (Path("runs/one/evil.py"), Path("evil.py"), Path("runs/one/sitecustomize.py")):
        place.write_text(text)
    entry = {"file": str(Path("evil.py").resolve()), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    manifest = Path("runs/one/manifest.json")
    known = json.loads(manifest.read_text())
    if fact != "plugins":
        known["models"] = {"Evil": entry}
    if fact != "models":
        known["plugins"] = {"files": [entry], "packages": {"evil": "1.0"}}
    known["command"] = ["neurosim", "simulate", "--plugin", "evil.py", "--config", "net.toml"]
    manifest.write_text(json.dumps(known))
    config = Path("runs/one/config.toml")
    config.write_text(config.read_text().replace('model = "LIF"', 'model = "evil.py:Evil"'))
    for words in COMMANDS:
        CliRunner().invoke(main, words)
        assert not Path("it ran").exists(), words


def test_a_network_names_no_file(elsewhere: None) -> None:
    Path("cells.py").write_text("from pathlib import Path\nPath('it ran').touch()\n")
    for model in ("cells.py:Cell", "cells.Cell", "cells:Cell", "./cells.py", "os.system"):
        Path("net.toml").write_text(NETWORK.replace("LIF", model))
        result = CliRunner().invoke(main, ["simulate", "--config", "net.toml", "--quiet"])
        assert result.exit_code == 2 and not Path("it ran").exists(), model
