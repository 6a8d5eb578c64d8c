"""What a newcomer meets: the index of runs, the settings of a run before it runs, progress in a log, safe terminals."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import click
import pytest
from click.testing import CliRunner

from neurosim.app.cli import main
from neurosim.app.cli.program import explain
from neurosim.app.runs.frame import progress
from neurosim.app.runs.frame.command import CommandResult, common
from neurosim.app.runs.frame.command_options import CommandOptions
from neurosim.base.distribution import install
from neurosim.base.json_toml import read_json, read_toml, write_json
from neurosim.kernels.tools.compiling import listeners

NETWORK = '[simulation]\nduration = 0.01\n\n[[population]]\nname = "E"\nshape = 3\nmodel = "LIF"\n'


def invoke(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, words)
    return result.exit_code, result.output


def test_the_index_of_runs_links_to_reports_and_survives_what_it_cannot_read(elsewhere: None) -> None:
    Path("net.toml").write_text(NETWORK)
    assert invoke("simulate", "--config", "net.toml", "--out", "runs/a & b", "--quiet")[0] == 0
    Path("runs/broken").mkdir()
    Path("runs/broken/manifest.json").write_text("{")
    code, text = invoke("runs", "list")
    assert code == 0 and text.startswith("RUN ") and "network" in text and "done" in text and "cannot be read" in text
    page = Path("runs/index.html").read_text()
    assert 'href="a%20%26%20b/report.html"' in page and "a &amp; b" in page
    code, text = invoke("runs", "list", "nowhere")
    assert code != 0 and "nowhere: no such folder" in text


@pytest.mark.parametrize("words", [("demo",), ("simulate", "--config", "net.toml"), ("memory", "store", "digits")])
def test_show_config_prints_what_the_run_would_have_and_runs_nothing(words: tuple[str, ...], elsewhere: None) -> None:
    Path("net.toml").write_text(NETWORK)
    result = CliRunner().invoke(main, [*words, "--show-config", "--quiet"])
    assert result.exit_code == 0, result.output
    Path("shown.toml").write_text(result.output)
    assert read_toml("shown.toml")
    assert not Path("runs").exists()


def test_show_config_cannot_stand_beside_resume(elsewhere: None) -> None:
    code, text = invoke("simulate", "--resume", "runs/x", "--show-config")
    assert code == 2 and "--resume: cannot be combined" in text


Write = Callable[..., str]


@pytest.fixture
def lines_of(monkeypatch: pytest.MonkeyPatch) -> Write:
    """A function that reports progress on a given clock, and returns what is written without a terminal."""

    def lines(title: str, unit: str, reports: Sequence[tuple[float, int]], total: int, note: str = "") -> str:
        log = io.StringIO()
        clock = iter([0.0, *(moment for moment, _ in reports)])
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", log)
            patch.setattr(progress.time, "monotonic", lambda: next(clock))
            with progress.bar(title, unit, quiet=False) as report:
                assert report is not None
                for _, done in reports:
                    report(done, total, note)
        return log.getvalue()

    return lines


def test_progress_without_a_terminal_is_a_line_now_and_then(lines_of: Write) -> None:
    log = lines_of("train", "epochs", [(1.0, 1), (16.0, 2), (17.0, 3), (40.0, 4)], 8, "loss 0.5")
    assert log == "train: 25% of 8 epochs, 90 s left, loss 0.5\ntrain: 50% of 8 epochs, 52 s left, loss 0.5\n"


def test_long_work_says_early_how_long_it_will_take(lines_of: Write) -> None:
    log = lines_of("train", "epochs", [(2.0, 1), (4.0, 2), (6.0, 3)], 100)
    assert log == "train: 2% of 100 epochs, 196 s left\n"


def test_a_first_step_in_which_kernels_are_compiled_says_nothing_of_the_rest(lines_of: Write) -> None:
    log = lines_of("learning", "updates", [(281.0, 1), (282.0, 2), (300.0, 20)], 100, "loss 2")
    assert log == "learning: 1% of 100 updates, loss 2\nlearning: 20% of 100 updates, 80 s left, loss 2\n"


def test_a_stage_that_begins_anew_says_what_is_left_of_it_alone(lines_of: Write) -> None:
    log = lines_of("matching", "updates", [(1.0, 1), (2.0, 2), (1000.0, 1), (1020.0, 51)], 101)
    assert log == "matching: 1% of 101 updates\nmatching: 50% of 101 updates, 20 s left\n"


def test_the_first_run_says_what_is_compiled() -> None:
    @click.command()
    @common()
    def command(options: CommandOptions) -> CommandResult:
        kernels = ("engine.clocked.loop.run", "engine.clocked.log.count", "io.nmnist.cpu.nmnist", "mine.step")
        for kernel in (*kernels, "memory.expansion.cpu.expand"):
            for listener in listeners:
                listener(kernel, not kernel.startswith("memory"))
        return CommandResult({}, "done")

    found = CliRunner().invoke(command, [])
    assert found.stderr.splitlines() == [
        "compiling the engine (engine.clocked.loop.run), once on this machine",
        "compiling readers of recordings (io.nmnist.cpu.nmnist), once on this machine",
        "compiling memories (memory.expansion.cpu.expand); set NUMBA_CACHE_DIR to a folder of yours to keep it",
    ]
    assert CliRunner().invoke(command, ["--quiet"]).stderr == "" and not listeners


def test_no_control_character_of_a_result_or_an_error_reaches_the_terminal() -> None:
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
    [
        ("convert", "generate", "model", "--set", "a=1"),
        ("runs", "list", "--seed", "0"),
        ("completion", "bash", "--out", "x"),
        ("datasets", "list", "--threads", "1"),
        ("report", "run", "--config", "a.toml"),
    ],
)
def test_options_without_a_use_are_refused(elsewhere: None, words: tuple[str, ...]) -> None:
    code, output = invoke(*words)
    assert (code, output) == (2, f"neurosim: {words[-2]}: this command has no use for it; leave it out\n")


def commands() -> list[tuple[list[str], click.Command]]:
    """Return every command with its words."""
    found: list[tuple[list[str], click.Command]] = []

    def walk(words: list[str], command: click.Command) -> None:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                walk([*words, name], inner)
        else:
            found.append((words, command))

    walk([], main)
    return found


def test_the_help_of_a_command_lists_what_it_takes(elsewhere: None) -> None:
    """Values that no command reads end in an error of the option itself only where it is refused."""
    values = {"--config": "a.toml", "--set": "a=1", "--seed": "1", "--out": "o", "--threads": "1"}
    refused = 0
    for words, command in commands():
        text = invoke(*words, "--help")[1]
        arguments = []
        for needed in (p for p in command.params if p.required):
            arguments += ["x"] if isinstance(needed, click.Argument) else [needed.opts[0], "x"]
        for flag, value in values.items():
            if f"  {flag} " not in text:
                line = f"neurosim: {flag}: this command has no use for it; leave it out\n"
                assert invoke(*words, *arguments, flag, value) == (2, line)
                refused += 1
    assert refused > 40 and len(commands()) > 25


def test_a_warning_is_one_line_without_a_place_in_the_code(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("net.toml").write_text(NETWORK + 'tau_mem = 20\n\n[[population]]\nname = "F"\nshape = 1\nmodel = "LIF"\n')
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, output = invoke("simulate", "--config", "net.toml", "--out", "run")
    line = "neurosim: Population['E'].model.tau_mem: 20 s is long, 20,000 steps; times are in seconds: 20 ms are 0.02"
    assert code == 0 and line in output.splitlines()


def test_torch_that_is_missing_is_no_internal_error() -> None:
    code, text = explain(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert code == 2 and text.endswith(install("train"))
    code, text = explain(ModuleNotFoundError("No module named 'nosuch'", name="nosuch").with_traceback(_traceback()))
    assert code == 1 and text.startswith("internal error: ")


def _traceback() -> TracebackType | None:
    try:
        raise ValueError
    except ValueError as error:
        return error.__traceback__


@pytest.mark.slow
@pytest.mark.parametrize("words", [("attention", "parity"), ("convert", "model", "x"), ("train", "digits")])
def test_a_command_without_torch_says_what_to_install(words: tuple[str, ...], elsewhere: None) -> None:
    code = "import sys; sys.modules['torch'] = None; from neurosim.app.cli import main; main(sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "needs torch" in done.stderr and install("train") in done.stderr


def test_each_help_is_read_without_torch(elsewhere: None) -> None:
    code = """
import sys

import click

sys.modules["torch"] = None
from neurosim.app.cli import main

def read(command, context):
    assert command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            read(inner, click.Context(inner, parent=context, info_name=name))

read(main, click.Context(main))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.toml", "settings are given as --config net.toml"),
        ("load.csv", "'neurosim series load.csv' takes values over time"),
        ("x.npz", "'neurosim continual run x.npz' takes embeddings"),
        ("m.gguf", "'neurosim convert m.gguf' takes a language model"),
        ("a.raw", "neurosim view a.raw"),
    ],
)
def test_a_file_in_the_place_of_a_dataset_is_told_what_takes_it(name: str, words: str, elsewhere: None) -> None:
    Path(name).write_text("")
    code, text = invoke("simulate", name)
    assert code == 2 and f"{name}: is a file" in text and words in text


def test_a_word_that_is_like_no_dataset_is_a_folder_or_a_file_that_is_not_there(elsewhere: None) -> None:
    code, text = invoke("simulate", "gestures")
    assert code == 2 and "gestures: no dataset of this name, and no such folder; " in text
    # A variable of the shell that is not set.
    code, text = invoke("simulate", "")
    assert code == 2 and "DATASET: must not be empty (got ''); give a folder of recordings" in text
    code, text = invoke("simulate", "net.toml")
    assert code == 2 and "net.toml: no such file; check the path; settings are given as --config net.toml" in text


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("memory", "anomaly"), "no FILE.csv given; a table such as nyc_taxi.csv, or - for standard input"),
        (("memory", "anomaly", "--from", "run"), "no FILE.csv given; a table such as nyc_taxi.csv"),
        (("match", "nmnist"), "no HEARD given; a name of 'neurosim datasets list'"),
        (("reconstruct",), "no SERIES given; a table such as pendulum.csv, or lorenz63"),
        (("simulate", "my", "gestures"), "extra argument (gestures); a name with spaces stands in quotes"),
    ],
)
def test_a_missing_argument_is_called_as_in_the_help(words: tuple[str, ...], line: str, elsewhere: None) -> None:
    code, text = invoke(*words)
    assert code == 2 and line in text and f"see 'neurosim {words[0]}" in text


def test_options_of_one_use_stand_below_a_heading(elsewhere: None) -> None:
    sections = invoke("simulate", "--help")[1].split("\n\nOptions")
    own, edges, shared = sections[1:]
    assert "  --split " in own and "  --edges " not in own
    assert edges.startswith(" of a table of edges:") and "  --trials " in edges and "  --model " not in edges
    assert shared.startswith(" that commands share:") and "  --seed " in shared


def test_a_sweep_of_networks_needs_no_torch(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("net.toml").write_text(NETWORK)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert invoke("sweep", "net.toml", "--out", "sweep", "--quiet")[0] == 0


@pytest.mark.parametrize("command", [("runs", "show"), ("measure",), ("report",)])
def test_a_run_is_called_by_its_name(command: tuple[str, ...], elsewhere: None) -> None:
    Path("net.toml").write_text(NETWORK)
    assert invoke("simulate", "--config", "net.toml", "--out", "runs/first", "--quiet")[0] == 0
    code, text = invoke(*command, "first")
    assert code == 0, text


def test_a_killed_run_says_how_to_run_it_again(elsewhere: None) -> None:
    Path("net.toml").write_text(NETWORK)
    assert invoke("simulate", "--config", "net.toml", "--out", "run", "--quiet")[0] == 0
    Path("run/metrics.json").unlink()
    manifest = read_json("run/manifest.json")
    command = ["neurosim", "simulate", "--config", "my net.toml"]
    write_json("run/manifest.json", {**manifest, "status": "running", "command": command})
    expected = "run: has no results (killed); run it again: neurosim simulate --config 'my net.toml'"
    assert invoke("measure", "run") == (2, f"neurosim: {expected}\n")
