"""What a newcomer meets: the index of runs, the settings of a run before it runs, progress in a log, safe terminals."""

from __future__ import annotations

import io
import sys
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
