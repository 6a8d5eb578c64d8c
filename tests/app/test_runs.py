"""Configs, run folders and scores: closed settings, nothing overwritten, nothing lost."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosim.app import open_run, read_metrics, record
from neurosim.app.runs.frame import progress, provenance
from neurosim.app.runs.frame.recorder import config_hash
from neurosim.app.runs.frame.settings import ConfigSource, assignments, dotted_keys, nest, overlay, resolve
from neurosim.app.runs.score import score_answers, wilson
from neurosim.base import NeurosimInputError, NeurosimMissingError, NeurosimWriteError
from neurosim.base.atomic import write_bytes
from neurosim.base.json_toml import read_json, read_toml, write_json
from neurosim.base.rules import Count, FilePath, NameOrFile, Natural, Positive
from neurosim.engine import Progress

UNIT = "; numbers are in SI units, without the unit: 0.02"


@dataclass(frozen=True)
class Inner:
    neurons: Count = 1000
    tau_mem: Positive = 0.02
    kind: str = "a"


@dataclass(frozen=True, kw_only=True)
class Outer:
    seed: Natural = 0
    name: str
    liquid: Inner = Inner()


@dataclass(frozen=True, kw_only=True)
class Places:
    root: FilePath | None = None
    file: FilePath = "-"
    profile: NameOrFile = "loihi"


def settle(**tree: object) -> Outer:
    return resolve(Outer, [ConfigSource("file.toml", {"name": "x", **tree})])


def test_paths_of_settings_hold_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path becomes one from the root; a name stays, also beside a file of that name."""
    monkeypatch.chdir(tmp_path)
    for name in ("rec", "loihi", "own.toml"):
        Path(name).write_text("")

    def read(**tree: object) -> Places:
        return resolve(Places, [ConfigSource("--set", tree)])

    assert read(root="rec", file="./rec", profile="own.toml") == Places(
        root=str(tmp_path / "rec"), file=str(tmp_path / "rec"), profile=str(tmp_path / "own.toml")
    )
    assert read(profile="./loihi").profile == str(tmp_path / "loihi")
    assert read(root="missing", file="-", profile="loihi") == Places(root="missing", file="-", profile="loihi")
    assert read(root=None).root is None


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"liquid": {"neuron": 5}}, "liquid.neuron: unknown key, from file.toml; did you mean 'liquid.neurons'?"),
        ({"neurons": 5}, "neurons: unknown key, from file.toml; did you mean 'liquid.neurons'?"),
        ({"liqid": {"neurons": 5}}, "liqid: unknown key, from file.toml; did you mean 'liquid'?"),
        ({"liquid": {"tm": 1}}, "liquid.tm: unknown key, from file.toml; did you mean 'liquid.tau_mem'?"),
        ({"liquid": {"tau_mem": "20 ms"}}, "liquid.tau_mem: must be a number (got '20 ms', from file.toml)" + UNIT),
        ({"zzz": 1}, "zzz: unknown key, from file.toml; choose from liquid, name, seed"),
        ({"liquid": {"zzz": 1}}, "liquid.zzz: unknown key, from file.toml; choose from kind, neurons, tau_mem"),
        ({"liquid": {"neurons": "5"}}, "liquid.neurons: must be an integer (got '5', from file.toml)"),
        ({"liquid": {"neurons": 5.0}}, "liquid.neurons: must be an integer (got 5.0, from file.toml)"),
        (
            {"liquid": {"neurons": 2**63}},
            f"liquid.neurons: must be an integer of 64 bits (got {2**63}, from file.toml)",
        ),
        ({"liquid": {"neurons": True}}, "liquid.neurons: must be an integer (got True, from file.toml)"),
        ({"liquid": {"neurons": 0}}, "liquid.neurons: must be >= 1 (got 0, from file.toml)"),
        ({"liquid": {"tau_mem": float("nan")}}, "liquid.tau_mem: must be a finite number (got nan, from file.toml)"),
        (
            {"liquid": 5},
            "liquid: must be a table of settings (got 5, from file.toml); give its keys, e.g. liquid.neurons",
        ),
        ({"liquid": {"kind": 1}}, "liquid.kind: must be a string (got 1, from file.toml)"),
        (
            {"seed": "a", "liquid": {"neurons": "b"}},
            "seed: must be an integer (got 'a', from file.toml) (and 1 more)",
        ),
    ],
)
def test_a_bad_setting_names_key_rule_value_and_source(tree: dict, message: str) -> None:
    with pytest.raises(NeurosimInputError) as caught:
        settle(**tree)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        # A later table must not hide the value.
        (
            [ConfigSource("--set", {"liquid": "x"}), ConfigSource("the command line", {"liquid": {"neurons": 5}})],
            "liquid: must be a table of settings (got 'x', from --set); give its keys, e.g. liquid.neurons",
        ),
        ([ConfigSource("a", {"name": "n"}), ConfigSource("b", {"name": {"x": 1}})], "name: must be a string"),
    ],
)
def test_a_value_in_the_place_of_a_table_is_refused(sources: list[ConfigSource], message: str) -> None:
    with pytest.raises(NeurosimInputError) as caught:
        resolve(Outer, sources)
    assert str(caught.value).startswith(message)


def test_a_key_that_is_given_as_a_value_and_as_a_table_is_refused() -> None:
    for texts, key in (
        (["data=digits", "data.limit=3"], "data"),
        (["a.b.c=1", "a.b=2"], "a.b"),
        (["a={b=1}", "a.b.c=2"], "a.b"),
    ):
        with pytest.raises(NeurosimInputError) as caught:
            assignments(texts)
        assert str(caught.value) == f"--set: {key} is given both a value and keys of a table; leave one out"
    assert assignments(["a.b=1", "a.c=2", "a={b=3}"]) == {"a": {"b": 3, "c": 2}}


def test_a_missing_setting_says_how_to_give_it() -> None:
    with pytest.raises(NeurosimInputError) as caught:
        resolve(Outer, [])
    assert str(caught.value) == "name: is missing; give it in the config or with --set name=..."


def test_a_whole_number_is_a_number() -> None:
    assert settle(liquid={"tau_mem": 1}).liquid.tau_mem == 1.0


def test_later_sources_win_leaf_by_leaf_and_are_blamed() -> None:
    sources = [
        ConfigSource("low", {"name": "x", "liquid": {"neurons": 1, "tau_mem": 0.5}}),
        ConfigSource("high", {"liquid": {}}),
    ]
    assert resolve(Outer, sources).liquid == Inner(neurons=1, tau_mem=0.5)
    with pytest.raises(NeurosimInputError, match="got 'b', from high"):
        resolve(Outer, [*sources, ConfigSource("high", {"liquid": {"neurons": "b"}})])


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a=1", {"a": 1}),
        ("a.b=1.5", {"a": {"b": 1.5}}),
        ("a.b = true", {"a": {"b": True}}),
        ("a=.5", {"a": 0.5}),
        ("a=-5.", {"a": -5.0}),
        ("a=[.1, 1.e-3]", {"a": [0.1, 1e-3]}),
        ("a=/some/path", {"a": "/some/path"}),
        ("a=./.5", {"a": "./.5"}),
        ("a=1.2.3", {"a": "1.2.3"}),
        ("a='.5'", {"a": ".5"}),
        ("a='1'", {"a": "1"}),
        ("a=[1, 2]", {"a": [1, 2]}),
        ("a=x=y", {"a": "x=y"}),
        ("a=", {"a": ""}),
        ("a=1\nb=2", {"a": "1\nb=2"}),
    ],
)
def test_set_reads_toml_or_text(text: str, tree: dict) -> None:
    assert assignments([text]) == tree


@pytest.mark.parametrize("text", ["a", "=1", "a..b=1", ".a=1", "a.=1", ""])
def test_set_refuses_what_is_no_assignment(text: str) -> None:
    with pytest.raises(NeurosimInputError, match=r"^--set: must read key=value, e\.g\. liquid\.neurons=500 \(got"):
        assignments([text])


def test_set_assignments_add_up() -> None:
    assert assignments(["a.b=1", "a.c=2", "a.b=3"]) == {"a": {"b": 3, "c": 2}}


TREES = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6
).map(lambda tree: tree if isinstance(tree, dict) else {"a": tree})


@given(TREES, TREES, TREES)
def test_overlay_is_associative_with_an_identity(a: dict, b: dict, c: dict) -> None:
    assert overlay(a, {}) == overlay({}, a) == a
    # Where a leaf meets a table the later wins whole, in either order of working.
    if "leaf" not in _clashes(a, b) | _clashes(b, c) | _clashes(a, c):
        assert overlay(overlay(a, b), c) == overlay(a, overlay(b, c))


def _clashes(a: object, b: object) -> set[str]:
    if isinstance(a, dict) != isinstance(b, dict):
        return {"leaf"}
    if not isinstance(a, dict) or not isinstance(b, dict):
        return set()
    return set().union(*(_clashes(a[k], b[k]) for k in a.keys() & b.keys()))


def test_dotted_keys_and_nest() -> None:
    assert list(dotted_keys(Outer)) == ["seed", "name", "liquid.neurons", "liquid.tau_mem", "liquid.kind"]
    assert nest("a.b.c", 1) == {"a": {"b": {"c": 1}}}


CONFIG = {"seed": 3, "data": {"name": "toy", "root": None, "limit": None}}


def test_a_run_that_ends_is_done(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    with record(CONFIG, "toy", out, ["neurosim", "simulate"]) as run:
        assert read_json(out / "manifest.json")["status"] == "running"
        run.note(spike_digest="d")
    manifest = read_json(out / "manifest.json")
    assert (manifest["status"], manifest["reason"], manifest["spike_digest"]) == ("done", None, "d")
    assert manifest["seed"] == 3 and manifest["command"] == ["neurosim", "simulate"]
    assert manifest["started"] <= manifest["ended"]
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["machine"]["cores"] >= 1
    assert read_toml(out / "config.toml") == {"seed": 3, "data": {"name": "toy"}}
    assert open_run(out).manifest.to_dict() == manifest


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(ValueError("why"), "failed", "why"), (KeyboardInterrupt(), "interrupted", "interrupted")],
)
def test_a_run_that_fails_says_why_and_keeps_its_results(
    tmp_path: Path, error: BaseException, status: str, reason: str
) -> None:
    with pytest.raises(type(error)), record(CONFIG, "toy", tmp_path / "run") as run:
        write_json(run.path / "metrics.json", {"accuracy": 1})
        raise error
    opened = open_run(tmp_path / "run")
    assert (opened.manifest.status, opened.manifest.reason) == (status, reason)
    assert read_metrics(opened) == {"accuracy": 1}


def test_a_run_that_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(NeurosimInputError), record(CONFIG, "toy", out):
        raise NeurosimInputError("liquid.neurons: must be so")
    assert not out.exists()
    with pytest.raises(NeurosimInputError), record(CONFIG, "toy", out) as run:
        write_json(run.path / "stage.json", {})
        raise NeurosimInputError("a file is damaged")
    assert open_run(out).manifest.status == "failed"


def test_a_run_that_is_refused_leaves_the_earlier_run_in_its_place(tmp_path: Path) -> None:
    out = tmp_path / "run"
    said: list[str] = []
    with record(CONFIG, "first", out):
        pass
    with pytest.raises(NeurosimInputError), record(CONFIG, "second", out, say=said.append):
        raise NeurosimInputError("liquid.neurons: must be so")
    assert os.listdir(tmp_path) == ["run"]
    assert open_run(out).manifest.name == "first"
    assert said[1] == f"{out}.1 was moved back to {out}: the new run was refused"
    # A run that has written something keeps the folder, and its error.
    with pytest.raises(NeurosimInputError), record(CONFIG, "third", out) as run:
        write_json(run.path / "stage.json", {})
        raise NeurosimInputError("a file is damaged")
    assert open_run(out).manifest.status == "failed"
    assert open_run(tmp_path / "run.1").manifest.name == "first"


def test_runs_without_out_get_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda form: "20260101-000000")
    for expected in ("20260101-000000-toy", "20260101-000000-toy-2", "20260101-000000-toy-3"):
        with record(CONFIG, "toy") as run:
            assert run.path == Path("runs", expected)


def test_an_earlier_run_is_moved_aside_not_lost(tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = []
    for seed in range(3):
        with record({"seed": seed}, "toy", out, say=said.append):
            pass
    seeds = [open_run(tmp_path / name).manifest.seed for name in ("run.1", "run.2", "run")]
    assert seeds == [0, 1, 2]
    assert said == [f"{out} held an earlier run: moved to {out}.{k}" for k in (1, 2)]


def test_an_empty_folder_is_used_and_a_strange_one_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    strange = tmp_path / "strange"
    file = tmp_path / "file"
    empty.mkdir()
    strange.mkdir()
    (strange / "thesis.tex").write_text("years of work")
    file.write_text("")
    with record(CONFIG, "toy", empty):
        pass
    for out, rule in [
        (strange, "is not empty and holds no neurosim run; give another --out"),
        (file, "is a file, and a run needs a folder; give another --out"),
    ]:
        with pytest.raises(NeurosimInputError) as caught, record(CONFIG, "toy", out):
            pytest.fail("the body ran")
        assert str(caught.value) == f"{out}: {rule}"
    assert os.listdir(strange) == ["thesis.tex"]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with (
        record(CONFIG, "toy", tmp_path / "run"),
        pytest.raises(NeurosimInputError, match="another run is writing into it"),
        record(CONFIG, "toy", tmp_path / "run"),
    ):
        pytest.fail("the body ran")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(self: Path, *args: object, **more: object) -> None:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(NeurosimWriteError) as caught, record(CONFIG, "toy", tmp_path / "run"):
        pytest.fail("the body ran")
    path = tmp_path / "run"
    assert str(caught.value) == f"{path}: cannot make the run folder ({os.strerror(code)}); give another --out"
    assert caught.value.exit_code == 1


def test_a_disk_that_fills_up_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the write that failed, not the manifest that could not be updated after it."""

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    refused = pytest.raises(NeurosimWriteError, match=r"spikes\.h5: could not be written \(No space left")
    with refused, record(CONFIG, "toy", tmp_path / "run") as run:
        write_json(run.path / "metrics.json", {"accuracy": 1})
        monkeypatch.setattr(os, "fsync", full)
        write_bytes(run.path / "spikes.h5", b"x")
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path / "run")) == ["config.toml", "manifest.json", "metrics.json"]
    assert open_run(tmp_path / "run").manifest.status == "running"
    assert read_metrics(open_run(tmp_path / "run")) == {"accuracy": 1}


def test_what_is_no_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    missing = tmp_path / "missing"
    with pytest.raises(NeurosimMissingError) as caught:
        open_run(missing)
    assert (
        str(caught.value)
        == f"{missing}: no such run folder; give the folder of a run, as 'neurosim runs list' lists them"
    )
    with pytest.raises(NeurosimMissingError, match=r"holds no run \(no manifest\.json\); give"):
        open_run(tmp_path)
    (tmp_path / "manifest.json").write_text("[1]")
    with pytest.raises(NeurosimMissingError, match="is not the manifest of a run"):
        open_run(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "neurosim-run", "version": 99}')
    with pytest.raises(NeurosimInputError, match="run version 99, this neurosim reads 1; upgrade it"):
        open_run(tmp_path)


def test_the_newest_run_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with record(CONFIG, "toy") as run:
            newest = run.path
    with pytest.raises(NeurosimMissingError, match=f"lists them, e.g. {newest}$"):
        open_run(Path("x"))


def test_a_run_without_results_says_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boom"), record(CONFIG, "toy", tmp_path / "run"):
        raise ValueError("boom")
    with pytest.raises(NeurosimMissingError, match=r"has no results \(boom\); run it again"):
        read_metrics(open_run(tmp_path / "run"))


@pytest.mark.parametrize("moment", range(8))
def test_killed_at_any_moment_no_file_is_half(tmp_path: Path, moment: int) -> None:
    code = f"""
import json, os, signal, sys
from neurosim.app import record
from neurosim.base.json_toml import write_json
replace, left = os.replace, [{moment}]
def count(*paths):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
os.replace = count
with record({{"seed": 0}}, "toy", {str(tmp_path / "run")!r}) as run:
    for k in range(4):
        write_json(run.path / "metrics.json", {{"k": [k] * 1000}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=600)
    for path in (tmp_path / "run").glob("[!.]*.json"):
        json.loads(path.read_text())
    if moment:
        assert open_run(tmp_path / "run").manifest.status in {"running", "done"}


def test_the_config_hash_ignores_order_and_place() -> None:
    here = {"seed": 1, "data": {"name": "x", "root": "/here"}}
    there = {"data": {"root": "/there", "name": "x"}, "seed": 1}
    assert config_hash(here) == config_hash(there) != config_hash({**here, "seed": 2})


def test_the_commit_is_of_the_checkout_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Installed inside somebody's repository, neurosim is not of their commit."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "lib" / "neurosim" / "runs" / "provenance.py"))
    assert provenance.commit() == {"git_commit": None, "git_changed": None}


@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_solves_its_own_equation(right: int, n: int) -> None:
    """The bounds are the p at which the observed share lies z standard errors away."""
    right = min(right, n)
    share = right / n
    z = 1.96
    low, high = wilson(right, n, z)
    assert 0 <= low <= share <= high <= 1
    for bound in (low, high):
        assert (share - bound) ** 2 == pytest.approx(z * z * bound * (1 - bound) / n, abs=1e-12)


def test_wilson_narrows() -> None:
    widths = [np.diff(wilson(n // 2, n))[0] for n in (10, 100, 1000)]
    assert all(a > b for a, b in pairwise(widths))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("quiet", "screen", "delay", "shown"),
    [
        (False, Terminal(), 0.0, True),
        (False, Terminal(), 2.0, False),
        (True, Terminal(), 0.0, False),
        (False, io.StringIO(), 0.0, False),
    ],
)
def test_progress_shows_on_a_terminal_after_a_while(
    monkeypatch: pytest.MonkeyPatch, quiet: bool, screen: io.StringIO, delay: float, shown: bool
) -> None:
    monkeypatch.setattr(progress, "DELAY", delay)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "100")
    with progress.simulation_bar("simulating", quiet) as report:
        if report is not None:
            time.sleep(0.15)
            report(Progress(1.0, 10.0, 7, 0.15))
            time.sleep(0.15)
            report(Progress(5.0, 10.0, 7, 0.15))
    assert ("simulating:  50%" in screen.getvalue()) == shown
    assert ("5.00/10.0 s simulated [" in screen.getvalue()) == shown
    assert (" left, 1 spikes/s, real-time factor 0.03]" in screen.getvalue()) == shown


def test_score_counts() -> None:
    found = score_answers(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), ("a", "b", "c", "d"))
    assert found.accuracy == 0.5
    assert found.chance == 0.5 and found.uniform_chance == 0.25  # half of them are "a"
    assert found.confusion == ((1, 1, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0))
    assert found.per_class == {"a": 0.5, "b": 1.0, "c": 0.0, "d": None}
