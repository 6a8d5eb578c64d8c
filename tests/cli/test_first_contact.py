"""What a newcomer meets: the index of runs, the settings of a run before it runs, progress in a log, safe terminals."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner

from neurosim import files
from neurosim.cli import main
from neurosim.runs import progress
from neurosim.runs.command import CommandOptions, CommandResult, common

NETWORK = '[simulation]\nduration = 0.01\n\n[[population]]\nname = "E"\nshape = 3\nmodel = "LIF"\n'


def invoke(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, words)
    return result.exit_code, result.output


def test_the_index_of_runs_links_to_reports_and_survives_what_it_cannot_read(elsewhere: None) -> None:
    Path("net.toml").write_text(NETWORK)
    assert invoke("simulate", "--config", "net.toml", "--out", "runs/a & b", "--quiet")[0] == 0
    Path("runs/broken").mkdir()
    Path("runs/broken/manifest.json").write_text("{")
    code, text = invoke("runs")
    assert code == 0 and "network" in text and "done" in text and "cannot be read" in text
    page = Path("runs/index.html").read_text()
    assert 'href="a%20%26%20b/report.html"' in page and "a &amp; b" in page
    code, text = invoke("runs", "nowhere")
    assert code != 0 and "nowhere: no such folder" in text


@pytest.mark.parametrize("words", [("demo",), ("simulate", "--config", "net.toml"), ("memory", "store", "digits")])
def test_show_config_prints_what_the_run_would_have_and_runs_nothing(words: tuple[str, ...], elsewhere: None) -> None:
    Path("net.toml").write_text(NETWORK)
    result = CliRunner().invoke(main, [*words, "--show-config", "--quiet"])
    assert result.exit_code == 0, result.output
    Path("shown.toml").write_text(result.output)
    assert files.read_toml("shown.toml")
    assert not Path("runs").exists()


def test_show_config_cannot_stand_beside_resume(elsewhere: None) -> None:
    code, text = invoke("simulate", "--resume", "runs/x", "--show-config")
    assert code == 2 and "--resume: cannot be combined" in text


def test_progress_without_a_terminal_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    clock = iter([0.0, 1.0, 16.0, 17.0, 40.0])
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.bar("train", "epochs", quiet=False) as report:
        assert report is not None
        for done in (1, 2, 3, 4):
            report(done, 8, "loss 0.5")
    assert (
        log.getvalue() == "train: 25% of 8 epochs, 48 s left, loss 0.5\ntrain: 50% of 8 epochs, 40 s left, loss 0.5\n"
    )


def test_long_work_says_early_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    clock = iter([0.0, 2.0, 4.0, 6.0])
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.bar("train", "epochs", quiet=False) as report:
        assert report is not None
        for done in (1, 2, 3):
            report(done, 100)
    assert log.getvalue() == "train: 2% of 100 epochs, 196 s left\n"


def test_no_control_character_of_a_result_or_an_error_reaches_the_terminal() -> None:
    import click

    @click.command()
    @common()
    def command(options: CommandOptions) -> CommandResult:
        options.say("remark \x1b[31m")
        return CommandResult({}, "name \x1b]0;x\x07\u202e\nnext")

    found = CliRunner().invoke(command, [])
    assert found.output == "remark \\x1b[31m\nname \\x1b]0;x\\x07\\u202e\nnext\n"
    code, text = invoke("simulate", "no\x1bsuch")
    assert code != 0 and "\x1b" not in text


@pytest.mark.parametrize(
    "words",
    [("convert", "generate", "model", "--set", "a=1"), ("runs", "--seed", "0"), ("completion", "bash", "--out", "x")],
)
def test_options_without_a_use_are_refused(elsewhere: None, words: tuple[str, ...]) -> None:
    code, output = invoke(*words)
    assert (code, output) == (2, f"neurosim: {words[-2]}: this command has no use for it; leave it out\n")


def test_a_warning_is_one_line_without_a_place_in_the_code(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("net.toml").write_text(NETWORK + 'tau_mem = 20\n\n[[population]]\nname = "F"\nshape = 1\nmodel = "LIF"\n')
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, output = invoke("simulate", "--config", "net.toml", "--out", "run")
    line = "neurosim: Population['E'].model.tau_mem: 20 s is long, 20,000 steps; times are in seconds: 20 ms are 0.02"
    assert code == 0 and line in output.splitlines()


def test_a_killed_run_says_how_to_run_it_again(elsewhere: None) -> None:
    Path("net.toml").write_text(NETWORK)
    assert invoke("simulate", "--config", "net.toml", "--out", "run", "--quiet")[0] == 0
    Path("run/metrics.json").unlink()
    manifest = files.read_json("run/manifest.json")
    command = ["neurosim", "simulate", "--config", "my net.toml"]
    files.write_json("run/manifest.json", {**manifest, "status": "running", "command": command})
    expected = "run: has no results (killed, or still running); run it again: neurosim simulate --config 'my net.toml'"
    assert invoke("measure", "run") == (2, f"neurosim: {expected}\n")
