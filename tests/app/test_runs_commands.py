"""`neurosim runs ...`: runs listed, shown, opened, compared, repeated and removed; and the examples of every help."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from helpers.command import neurosim
from helpers.sonata_files import write_network
from helpers.tasks import network

from neurosim.app.cli import main
from neurosim.app.runs.frame.folder import lock_folder
from neurosim.app.runs.frame.registry import find_kind
from neurosim.base.errors import NeurosimInputError
from neurosim.base.json_toml import read_json, write_json

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/one and runs/two of a network, which differ in the seed and in one setting."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "net.toml").write_text(network(0.02))
    simulate = ("simulate", "--config", folder / "net.toml", "--quiet")
    neurosim(*simulate, "--seed", 1, "--out", folder / "runs" / "one")
    neurosim(*simulate, "--seed", 2, "--set", "population.E.tau_mem=0.03", "--out", folder / "runs" / "two")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, which is the working folder."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def printed(*words: object) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(neurosim("runs", *words, "--json", "--quiet").stdout)
    return tree


def refused(*words: object) -> str:
    return str(neurosim("runs", *words, expect=2).stderr)


def test_runs_are_listed_with_a_header_and_figures(here: Path) -> None:
    text = neurosim("runs", "list").stdout.splitlines()
    assert text[0].split() == ["RUN", "KIND", "NAME", "STATUS", "STARTED", "FIGURES"]
    spikes = read_json("runs/one/metrics.json")["spikes"]
    assert spikes > 0
    (one,) = (line for line in text if line.startswith("one "))
    assert f"Spikes {spikes}, Activation sparsity " in one and one.isascii()
    assert f"Spikes {spikes}" in Path("runs/index.html").read_text()


def test_runs_are_listed_where_the_page_cannot_be_written(here: Path) -> None:
    # A folder in the place of the page stands for a disk that is read-only.
    Path("runs/index.html").unlink(missing_ok=True)
    Path("runs/index.html").mkdir()
    lines = neurosim("runs", "list").stdout.splitlines()
    assert lines[0].startswith("RUN ") and any(line.startswith("one ") for line in lines)
    assert lines[-1].startswith("no page: runs/index.html: could not be written")
    tree = printed("list")
    assert tree["page"] is None and [run["path"] for run in tree["runs"]] == ["two", "one"]
    Path("runs/index.html").rmdir()


def test_a_narrow_terminal_gets_each_run_in_lines_of_its_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal, end = pty.openpty()
    line = [sys.executable, "-m", "neurosim", "runs", "list", "--quiet"]
    subprocess.run(line, stdout=end, check=True)
    text = os.read(terminal, 1 << 16).decode().splitlines()
    os.close(end)
    os.close(terminal)
    assert max(map(len, text)) <= 40
    assert text.index("two") < text.index("one") and "  network, net, done," in " ".join(text)
    # A pipe has no width.
    assert neurosim("runs", "list").stdout.startswith("RUN ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ["two", "one"]),
        (("--limit", 1), ["two"]),
        (("--name", "on?"), ["one"]),
        (("--name", "net"), ["two", "one"]),
        (("--kind", "network", "--status", "done"), ["two", "one"]),
        (("--kind", "train"), []),
        (("--status", "failed"), []),
    ],
)
def test_filters_choose_what_is_listed(here: Path, words: tuple[object, ...], expected: list[str]) -> None:
    assert [run["path"] for run in printed("list", *words)["runs"]] == expected


def test_a_list_that_no_run_fits_says_so(here: Path) -> None:
    assert "none of the 2 runs in runs fits" in neurosim("runs", "list", "--kind", "train").stdout
    assert "--limit: must be >= 1" in refused("list", "--limit", 0)


def test_a_run_is_shown_with_origin_results_and_files(here: Path) -> None:
    text = neurosim("runs", "show", "one").stdout
    assert text.startswith("runs/one: net, a run of the kind network\n")
    for words in ("Command ", "Seed ", "Activation sparsity", "metrics.json", "Spike digest"):
        assert words in text
    tree = printed("show", "runs/one")
    assert tree["results"] == {**read_json("runs/one/metrics.json"), "run": "runs/one"}
    assert tree["manifest"]["seed"] == 1 and tree["files"]["config.toml"] > 0
    # A run that was moved is shown as it is, from its new place.
    shutil.move("runs/two", "moved")
    assert "moved/report.html" in neurosim("runs", "show", "moved").stdout
    Path("runs/one/metrics.json").unlink()
    assert "no results (done); run it again: " in neurosim("runs", "show", "one").stdout
    assert printed("show", "one")["results"] is None
    assert "nowhere: no such run folder" in refused("show", "nowhere")


def test_a_report_is_opened_in_the_browser(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda uri: opened.append(uri) or True)
    Path("runs/one/report.html").unlink()
    assert neurosim("runs", "open", "one").stdout == "runs/one/report.html\n"
    assert opened == [(here / "runs/one/report.html").as_uri()] and Path("runs/one/report.html").is_file()
    assert printed("open", "one")["report"] == "runs/one/report.html" and len(opened) == 1
    monkeypatch.setattr(webbrowser, "open", lambda uri: False)
    assert "no browser was found" in neurosim("runs", "open", "one").stdout


def test_runs_side_by_side(here: Path) -> None:
    found = printed("compare", "one", "two", "--out", "both")
    assert [run["label"] for run in found["compared"]] == ["one", "two"] and found["of"] == "network"
    figures = {row["name"]: row["values"] for row in found["figures"]}
    assert figures["Spikes"] == [read_json(f"runs/{name}/metrics.json")["spikes"] for name in ("one", "two")]
    settings = {row["name"]: row["texts"] for row in found["settings"]}
    assert settings == {"simulation.seed": ["1", "2"], "population.E.tau_mem": ["0.02", "0.03"]}
    rows = {
        (row["part"], row["name"]): row for row in csv.DictReader(Path("both/comparison.csv").read_text().splitlines())
    }
    assert float(rows["figure", "Spikes"]["two"]) == figures["Spikes"][1]
    assert rows["setting", "population.E.tau_mem"]["one"] == "0.02"
    page = Path("both/report.html").read_text()
    assert "population.E.tau_mem" in page and "<svg" in page
    text = neurosim("runs", "compare", "one", "two").stdout
    assert "Settings that differ" in text and "population.E.tau_mem" in text
    again = printed("rerun", "both")
    assert again["figures"] == found["figures"] and again["rerun"]["differing"] == []
    neurosim("report", "both")


def test_what_cannot_be_compared_is_refused(here: Path) -> None:
    assert "needs at least two runs (got 1)" in refused("compare", "one")
    assert "takes each run once" in refused("compare", "one", "runs/one")
    manifest = read_json("runs/two/manifest.json")
    write_json("runs/two/manifest.json", {**manifest, "kind": "edges"})
    assert "is a run of the kind edges, and " in refused("compare", "one", "two")
    Path("runs/one/metrics.json").unlink()
    assert "one: has no results" in refused("compare", "two", "one")


def test_a_run_is_repeated_from_its_folder_alone(here: Path) -> None:
    Path("net.toml").unlink()
    found = printed("rerun", "one")
    assert found["rerun"]["same_digests"] is True and found["rerun"]["same_data"] is True
    # Real-time factors, which differ, are of the clock.
    assert found["rerun"]["differing"] == []
    second = read_json(Path(found["run"]) / "manifest.json")
    assert second["name"] == "net" and second["rerun_of"] == str(here / "runs/one") and second["seed"] == 1
    assert Path(found["run"]).name.endswith("-net")
    assert "rerun: the same digests as runs/two" in neurosim("runs", "rerun", "two", "--quiet").stdout


def test_a_run_of_a_table_is_repeated_from_another_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command named the table from the folder where it ran."""
    values = np.sin(np.arange(240) / 9.0)
    Path("load.csv").write_text("value\n" + "\n".join(f"{value:.4f}" for value in values) + "\n")
    first = here / "runs" / "series"
    neurosim("series", "load.csv", "--set", "liquid.neurons=20", "--quiet", "--out", first)
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    found = printed("rerun", first)
    assert found["rerun"]["same_digests"] is True and found["rerun"]["same_data"] is True


def nudged(measures: dict[str, Any]) -> dict[str, Any]:
    """Return measures whose activation sparsity is larger in the twelfth digit."""
    return {**measures, "activation_sparsity": measures["activation_sparsity"] * (1 + 1e-12)}


def test_a_rerun_that_gives_something_else_says_so(here: Path) -> None:
    manifest = read_json("runs/one/manifest.json")
    metrics = read_json("runs/one/metrics.json")
    write_json("runs/one/manifest.json", {**manifest, "spike_digest": "0" * 64})
    write_json("runs/one/metrics.json", {**metrics, "spikes": metrics["spikes"] + 1})
    text = neurosim("runs", "rerun", "one", "--quiet").stdout
    assert "rerun: other digests than runs/one" in text
    assert f"Spikes {metrics['spikes'] + 1} -> {metrics['spikes']}" in text
    # A figure whose difference is in digits that a text rounds away.
    again = read_json("runs/two/metrics.json")
    write_json("runs/two/metrics.json", {**again, "measures": nudged(again["measures"])})
    text = neurosim("runs", "rerun", "two", "--quiet").stdout
    assert "Activation sparsity" in text and "(in digits that are not shown)" in text
    Path("runs/one/metrics.json").unlink()
    assert "runs/one has no figures to compare with" in neurosim("runs", "rerun", "one", "--quiet").stdout


def test_what_cannot_be_repeated_is_refused(here: Path) -> None:
    assert "--out: must be another folder than that of the run" in refused("rerun", "one", "--out", "runs/one")
    manifest = read_json("runs/one/manifest.json")
    write_json("runs/one/manifest.json", {**manifest, "models": {"QIF": {"file": "cells.py", "sha256": "0"}}})
    assert "has neurons in Python files (QIF), which only a command line may name; run it again: " in refused(
        "rerun", "one"
    )
    config = Path("runs/two/config.toml")
    config.write_text(config.read_text().replace("0.03", "0.04"))
    assert "config.toml: was changed since the run began" in refused("rerun", "two")
    assert len(list(Path("runs").iterdir())) == 2, "nothing was run"


def test_a_rerun_has_the_arguments_of_the_first() -> None:
    """Kinds whose arguments are no settings take them from the manifest."""
    from neurosim.app.runs.continual import LearnersKind
    from neurosim.app.runs.convert import CurveKind
    from neurosim.app.runs.frame.folder import RunFolder
    from neurosim.app.runs.frame.manifest import Manifest
    from neurosim.app.runs.memory import RecallKind, StoreKind

    def again(kind: str, **manifest: Any) -> Any:
        folder = RunFolder(Path("x"), Manifest.from_dict(manifest))
        return find_kind(kind).of(folder).again(folder)

    assert again("memory", command_kind="noise") == StoreKind("noise")
    assert again("memory", memory="runs/m") == RecallKind(Path("runs/m"))
    curve = again("convert", command_kind="curve", data={"model": "runs/lm"})
    assert isinstance(curve, CurveKind) and curve.model == Path("runs/lm")
    assert again("linearise", data={"model": "runs/lm"}).model == Path("runs/lm")
    assert isinstance(again("continual", compared=["a"]), LearnersKind)
    with pytest.raises(NeurosimInputError, match="does not say which model it read"):
        again("convert", command_kind="curve")


def test_runs_are_removed_and_nothing_else(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no terminal; give --yes" in refused("rm", "one")
    with lock_folder(Path("runs/one")):
        manifest = read_json("runs/one/manifest.json")
        write_json("runs/one/manifest.json", {**manifest, "status": "running"})
        assert "runs/one: its run is running" in refused("rm", "one", "--yes")
    write_json("runs/one/manifest.json", manifest)
    assert "runs: holds no run" in refused("rm", "runs", "--yes")
    Path("link").symlink_to("runs/one")
    assert "link: is a link to" in refused("rm", "link", "--yes")
    shutil.copytree("runs/two", "runs/one/inner")
    assert "holds another run (runs/one/inner)" in refused("rm", "one", "--yes")
    shutil.rmtree("runs/one/inner")
    Path("runs/one/.git").mkdir()
    assert "is a git checkout" in refused("rm", "one", "--yes")
    Path("runs/one/.git").rmdir()
    with monkeypatch.context() as patch:
        patch.chdir("runs/one")
        assert "holds the working folder" in refused("rm", here / "runs/one", "--yes")
    # All are checked first: the second is none, so that the first stays.
    assert "nowhere" in refused("rm", "one", "nowhere", "--yes") and Path("runs/one").is_dir()
    removed = printed("rm", "one", "--yes")["removed"]
    assert [each["run"] for each in removed] == ["runs/one"] and removed[0]["files"] > 3 and removed[0]["bytes"] > 100
    assert [path.name for path in Path("runs").iterdir()] == ["two"]


def commands() -> list[tuple[list[str], click.Command]]:
    """Return every group and command with its words."""
    every: list[tuple[list[str], click.Command]] = []

    def walk(words: list[str], command: click.Command) -> None:
        every.append((words, command))
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                walk([*words, name], inner)

    walk([], main)
    return every


def examples() -> list[str]:
    """Return the lines of all helps that are commands; two spaces and words about the line may follow."""
    helps = "\n".join(str(command.help) for _, command in commands())
    lines = re.findall(r"^ *(neurosim [a-z].*)$", helps, re.M)
    return [re.split(r"\s{2,}", line)[0] for line in lines]


# Commands whose help says all by its usage line, or whose group has their examples.
IN_GROUP = ("runs", "datasets", "continual list", "completion", "convert linearise")


def test_helps_have_examples() -> None:
    assert len(examples()) > 25 and len(set(examples())) > 25
    lacking = []
    # The first is the program itself, which names its commands.
    for words, command in commands()[1:]:
        line = " ".join(["neurosim", *words])
        if not " ".join(words).startswith(IN_GROUP) and not re.search(rf"^ *{line}\b", str(command.help), re.M):
            lacking.append(line)
    assert not lacking, "these helps show no command to copy"


@pytest.mark.parametrize("line", dict.fromkeys(examples()))
def test_the_examples_of_a_help_run(line: str, here: Path) -> None:
    """They are run with --show-config where there is such an option; others are parsed, and run where it is quick."""
    shutil.copy(EXAMPLES / "16_columns.toml", "pipe.toml")
    shutil.copy(EXAMPLES / "continual" / "split.toml", "stream.toml")
    shutil.copytree("runs/one", "RUN")
    shutil.copytree("runs/two", "MODEL")
    for label in ("left", "right"):
        for k in range(2):
            Path(f"recordings/{label}").mkdir(parents=True, exist_ok=True)
            Path(f"recordings/{label}/{k}.csv").write_text("t,x,y,p\n0.001,1,1,1\n0.002,2,3,0\n")
    words = shlex.split(line)[1:]
    known = [each for each in commands() if words[: len(each[0])] == each[0]]
    name, command = max(known, key=lambda each: len(each[0]))
    if isinstance(command, click.Group):
        # `convert MODEL` is `convert model MODEL`.
        inner = command.get_command(click.Context(command), "model")
        assert inner is not None
        command = inner
    # click keeps the help option of the first context: the names are those of the program.
    context = command.make_context(" ".join(name), words[len(name) :], help_option_names=["-h", "--help"])
    # `memory recall` shows the settings of a run that stored something, which RUN is not.
    shows = "show_config" in context.params and name != ["memory", "recall"]
    if shows and context.params.get("resumed") is None and "--list" not in words:
        if "--edges" in words:
            pytest.importorskip("pyarrow")
        if "circuit_config.json" in words:
            write_network(Path())
        result = CliRunner().invoke(main, [*words, "--show-config", "--quiet"])
        assert result.exit_code == 0 and result.output.count("\n") > 2, result.output
    elif name[0] == "runs" and name[1:] not in (["rm"], ["open"], ["compare"]):
        assert CliRunner().invoke(main, [*words, "--quiet"]).exit_code == 0
    elif name[0] == "schema" or "--list" in words:
        assert CliRunner().invoke(main, words).exit_code == 0


@pytest.mark.parametrize(("words", "command"), [pytest.param(*each, id=" ".join(each[0])) for each in commands()[1:]])
def test_options_that_commands_share_stand_in_one_place(words: list[str], command: click.Command) -> None:
    if isinstance(command, click.Group):
        return
    text = CliRunner().invoke(main, [*words, "--help"]).output
    # Words above the options may name some of them.
    own, _, shared = text[text.index("\nOptions") :].partition("Options that commands share:")
    for flag in ("--json", "--quiet", "--plugin", "-h, --help"):
        assert f"\n  {flag}" in shared and f"\n  {flag}" not in own, flag
    assert not re.search(r"^  --(set|config|seed|out|threads) ", own, re.M)
