"""`neurosim memory ...` from the command to the files: what it prints, writes, refuses, and leaves the same."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import command
from helpers.browser import Browser
from helpers.command import neurosim

from neurosim.app import open_run, write_page
from neurosim.app.runs.frame.registry import kind_of
from neurosim.app.runs.memory.learned import LEARNED, MEMORY
from neurosim.app.runs.memory.page import PICTURES
from neurosim.base.json_toml import read_json, write_json
from neurosim.data.files.arrays import write_arrays

# Two windows and few units: the column and the digits are small, and still tell each other apart.
SMALL = [
    *("--items", "120", "--limit", "40", "--set", "code.windows=2", "--set", "code.size=1024", "--set"),
    *("code.active=24", "--set", "column.units=64", "--set", "column.modules=8", "--set", "sweep.probes=50"),
]
COURSE = ("--set", "sweep.points=3", "--set", "sweep.repeats=1")
# Measurements that only some of the commands take.
MEASURED = {"store": COURSE, "capacity": (*COURSE, "--set", "sweep.random=200")}
EVERY = {"manifest.json", "config.toml", "metrics.json", "pictures.safetensors", "report.html"}
KINDS = ("store", "capacity", "noise", "familiarity")
refused = partial(command.refused, "memory")
pytestmark = pytest.mark.usefixtures("elsewhere")


def memory_json(kind: str, *words: object) -> dict[str, Any]:
    return command.result_of("memory", kind, *words)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A run of each kind."""
    folder = tmp_path_factory.mktemp("ran")
    return {kind: memory_json(kind, *SMALL, *MEASURED.get(kind, ()), "--out", folder / kind) for kind in KINDS}


def test_every_run_writes_its_folder(ran: dict[str, dict[str, Any]]) -> None:
    for kind, result in ran.items():
        run = Path(result["run"])
        kept = {MEMORY, LEARNED} if kind == "store" else set()
        assert {path.name for path in run.iterdir()} == EVERY | kept
        manifest = read_json(run / "manifest.json")
        assert (manifest["status"], manifest["kind"], manifest["command_kind"]) == ("done", "memory", kind)
        assert manifest["data"]["train"]["recordings"] == 120 and manifest["data"]["test"]["recordings"] == 40
        assert read_json(run / "metrics.json") == json.loads(json.dumps(result))


def test_what_is_stored_is_recalled_and_known(ran: dict[str, dict[str, Any]]) -> None:
    for result in ran.values():
        assert result["stored"] == 120 and result["samples"] == 40 and result["outside_bounds"] == 0
        assert result["recall"] > 0.99 and result["accuracy"] > 0.3 > result["chance"]
        told = result["familiarity"]
        assert told["stored"]["known"] > 0.99 and told["new"]["separation"] > 0.95
        words = result["operations"]["recall"]
        assert words["min_words"] == words["max_words"] == 8 * 64 * 1024 / 64


def test_storing_costs_the_same_however_much_is_stored(ran: dict[str, dict[str, Any]]) -> None:
    for rows in (ran["store"]["growth"], ran["capacity"]["growth"], ran["capacity"]["random"]):
        assert len(rows) >= 3 and rows[0]["stored"] < rows[-1]["stored"]
        assert len({row["store_operations"] for row in rows}) == len({row["recall_operations"] for row in rows}) == 1
        assert all(row["store_seconds"] > 0 and row["recall_seconds"] > 0 for row in rows)
    assert ran["capacity"]["random"][-1]["stored"] == 200


def test_noise_is_swept(ran: dict[str, dict[str, Any]]) -> None:
    rows = ran["noise"]["noise"]
    assert [row["noise"] for row in rows] == [k / 10 for k in range(10)]
    assert rows[2]["recall"] > 0.95 and rows[-1]["recall"] < 0.5


def test_measures_and_energy_are_there(ran: dict[str, dict[str, Any]]) -> None:
    result = ran["store"]
    names = [layer["name"] for layer in result["measures"]["layers"]]
    assert names == ["encoder", "column", "classes"]
    assert result["measures"]["synaptic_operations"]["Effective_ACs"] > 0
    column = result["measures"]["layers"][1]
    # One of 64 units of each module is on.
    assert 1 - column["output_events"] / column["output_entries"] == pytest.approx(63 / 64)
    assert 0 < result["energy"]["memory_aware"]["low"] < result["energy"]["dense_memory_aware"]["low"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_codes(ran: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    again = memory_json("store", *SMALL, "--out", tmp_path / "again")
    other = memory_json("store", *SMALL, "--seed", 1, "--out", tmp_path / "other")
    digests = {result["digest"] for result in ran.values()}
    assert digests == {again["digest"]} and other["digest"] not in digests
    timed = ("run", "timings", "growth")
    first = ran["store"]
    assert {k: v for k, v in again.items() if k not in timed} == {k: v for k, v in first.items() if k not in timed}


def test_recall_reads_the_memory_that_store_wrote(ran: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    source = ran["store"]["run"]
    result = memory_json("recall", source, "--out", tmp_path / "recall")
    for key in ("accuracy", "confusion", "familiarity", "recall", "digest", "stored"):
        assert result[key] == ran["store"][key], key
    assert result["source"] == source and {p.name for p in (tmp_path / "recall").iterdir()} == EVERY
    known = memory_json("recall", source, "--split", "train", "--limit", 30)
    assert known["split"] == "train" and known["samples"] == 30 and known["accuracy"] == 1


def test_codes_of_patches_are_stored_and_recalled(tmp_path: Path) -> None:
    words = ["--code", "patches", "--set", "patches.units=20", "--set", "patches.side=4"]
    words += ["--set", "baselines.cnn=false"]
    stored = memory_json("store", *SMALL, *words, "--out", tmp_path / "store")
    assert (stored["code"], stored["patches"]) == ("patches", 20) and stored["recall"] > 0.99
    assert stored["accuracy"] > 0.3 and stored["measures"]["layers"][0]["name"] == "patches"
    recalled = memory_json("recall", tmp_path / "store", "--out", tmp_path / "recall")
    assert all(recalled[key] == stored[key] for key in ("accuracy", "familiarity", "digest", "measures"))
    assert "bits of 20 patches that were seen" in (tmp_path / "store" / "report.html").read_text("utf-8")
    told = refused("store", "shd", "--code", "patches")
    assert told.startswith("neurosim: code.kind: must be 'counts' for channels, which are no picture (got patches")


def test_text_answers(ran: dict[str, dict[str, Any]]) -> None:
    text = neurosim("memory", "store", "--quiet", *SMALL).stdout
    lead = "120 of the 1,497 items in a macrocolumn of 8 modules of 64 units, each item 24 of 1,024 bits, all with"
    assert lead in " ".join(text.split())
    assert "Accuracy" in text and "Next: neurosim memory recall runs/" in text and "store-digits" in text
    heads = {"noise": "Whole codes", "capacity": "random items", "familiarity": "Known from new"}
    for kind, words in heads.items():
        owner = kind_of(open_run(Path(ran[kind]["run"])))
        assert words in owner.render_text(owner.result.from_dict(ran[kind]))
    listed = neurosim("memory").stdout
    assert all(f"\n  {kind}" in listed for kind in (*KINDS, "recall"))


def test_measure_and_report_read_a_memory_too(ran: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    source = Path(ran["store"]["run"])
    before = (source / "report.html").read_bytes()
    neurosim("report", source)
    assert (source / "report.html").read_bytes() == before
    again = json.loads(neurosim("measure", source, "--json").stdout)
    assert again["energy"] == ran["store"]["energy"] and again["measures"] == ran["store"]["measures"]
    loihi = json.loads(neurosim("measure", source, "--profile", "loihi", "--json").stdout)
    assert loihi["energy"]["profile"] == "loihi"
    assert "Connection sparsity" in neurosim("measure", source).stdout
    line = neurosim("measure", source, "--set", "code.size=5", expect=2).stderr.rstrip()
    assert line == "neurosim: code.size: the run has 1024 and cannot change (got 5); run it again"


def test_capacity_is_said(tmp_path: Path) -> None:
    tiny = ["--set", "code.size=64", "--set", "column.units=2", "--set", "column.modules=2"]
    result = neurosim("memory", "store", *SMALL, *tiny, "--out", tmp_path / "full")
    assert "items of 24 of 64 inputs are stored, and" in result.stderr and "of the winners recalled" in result.stderr
    metrics = read_json(tmp_path / "full" / "metrics.json")
    assert "store fewer (--items)" in result.stderr
    assert len(metrics["warnings"]) == 2 and metrics["stored"] == 120


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.toml"
    path.write_text("[code]\nsize = 600\nactive = 20\nwindows = 1\n[column]\nunits = 16\nmodules = 4\n")
    words = ("--config", path, "--items", 20, "--limit", 5, "--set", "column.units=20")
    result = memory_json("familiarity", *words)
    assert result["column"]["inputs"] == 600 and result["column"]["units"] == 20 and result["stored"] == 20


def test_what_cannot_be_is_refused_in_one_line(ran: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    store = ran["store"]["run"]
    noise = ran["noise"]["run"]
    assert refused("store", "digitz").startswith("neurosim: dataset: unknown name 'digitz'; did you mean 'digits'?")
    assert refused("store", "--items", 0) == "neurosim: --items: must be >= 1 item (got 0)"
    assert refused("noise", "--set", "sweep.noise=[2.0]").startswith("neurosim: sweep.noise[0]: must be >= 0 and <= 1")
    assert "use fewer units or modules" in refused("store", "--set", "column.units=1000000000")
    assert refused("recall", tmp_path / "none").startswith(f"neurosim: {tmp_path}/none: no such run folder")
    line = refused("recall", noise)
    assert line == f"neurosim: {noise}: holds no memory; give the folder of a 'neurosim memory store' run"
    assert "seed: the run has 0 and cannot change (got 3)" in refused("recall", store, "--seed", 3)
    assert "--out: must be another folder" in refused("recall", store, "--out", store)
    line = refused("recall", store, "--set", "sweep.random=9")
    assert line.startswith("neurosim: sweep.random: has no use for 'memory recall'; leave it out (got 9, usually ")
    assert refused("recall", store, "--set", "data.name=shd").startswith("neurosim: data.name: must be digits")
    assert "did you mean 'store'" in neurosim("memory", "stroe", expect=2).stderr.lower()


def test_a_damaged_memory_is_refused_and_kept(ran: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    source = tmp_path / "copy"
    source.mkdir()
    for path in Path(ran["store"]["run"]).iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    whole = (source / MEMORY).read_bytes()
    (source / MEMORY).write_bytes(whole[:-10])
    line = refused("recall", source)
    assert line.startswith(f"neurosim: {source}/{MEMORY}:") and (source / MEMORY).stat().st_size > 0
    assert not (tmp_path / "runs").exists()


def test_a_run_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the figures broke")

    monkeypatch.setattr("neurosim.app.runs.memory.figures.noise", broken)
    result = neurosim("memory", "noise", *SMALL, "--out", tmp_path / "run", expect=1)
    assert "the figures broke" in result.stderr
    manifest = open_run(tmp_path / "run").manifest
    assert manifest.status == "failed" and manifest.reason == "the figures broke"


def test_the_page_says_what_is_absent(ran: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    source = tmp_path / "copy"
    source.mkdir()
    for name in ("manifest.json", "metrics.json"):
        (source / name).write_bytes((Path(ran["noise"]["run"]) / name).read_bytes())
    text = write_page(source).read_text()
    assert "What is drawn here cannot be read" in text and "no config.toml" in text
    write_json(source / "metrics.json", {"kind": "memory"})
    assert "The run recorded no measures" in write_page(source).read_text()
    arrays = {"similarity_inputs": np.empty(0), "similarity_codes": np.empty(0)}
    write_arrays(source / PICTURES, arrays)
    assert "The run kept no codes" in write_page(source).read_text()


@pytest.mark.slow
@pytest.mark.browser
def test_pages_show_all_their_pictures(ran: dict[str, dict[str, Any]], chromium: str) -> None:
    with Browser(chromium) as browser:
        for kind, charts in (("store", 15), ("capacity", 15), ("noise", 13), ("familiarity", 11)):
            for width in (1200, 420):
                visit = browser.open(Path(ran[kind]["run"]) / "report.html", width=width)
                assert not visit.missing and not visit.requests and not visit.console
                assert visit.charts >= charts and not visit.overflow


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("dataset", "least"), [("nmnist", 0.75), ("mnist", 0.8), ("shd", 0.6)])
def test_real_data_in_one_pass(dataset: str, least: float, data_root: Path) -> None:
    root = ["--set", "baselines.cnn=false"]
    if dataset == "shd":
        root += ["--set", f"data.root={data_root / 'FSDD-SHD'}"]
    result = memory_json("store", dataset, "--items", 1500, "--limit", 200, "--set", "sweep.points=1", *root)
    assert result["accuracy"] > least and result["recall"] > 0.95 and result["familiarity"]["random"]["separation"] == 1
