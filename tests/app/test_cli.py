"""The command line: one line for every failure, JSON alone on stdout, quick to answer."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from helpers.command import neurosim
from helpers.samples import sampled

from neurosim import __version__
from neurosim.app.cli import COMMANDS, main
from neurosim.app.cli.program import CommandEntry, Program
from neurosim.app.runs.frame.command import CommandResult, common, to_json
from neurosim.app.runs.frame.command_options import CommandOptions
from neurosim.app.runs.frame.tables import table
from neurosim.base import NeurosimInputError, NeurosimWriteError

FLAGS = ["--plugin", "--json", "--quiet"]


def line(result: Result) -> str:
    """The one line on stderr of a command that failed; stdout must be empty."""
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def leaves(group: click.Group, words: Sequence[str] = ()) -> list[list[str]]:
    """Every command, subcommands included."""
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        found += leaves(command, [*words, name]) if isinstance(command, click.Group) else [[*words, name]]
    return found


LEAVES = leaves(main)
ARGUMENTLESS = (["demo"], ["datasets", "list"], ["continual", "list"], ["convert", "lm-train"])


def test_help_lists_every_command() -> None:
    shown = neurosim("--help").stdout
    assert all(f"  {name}  " in shown for name in COMMANDS)
    assert neurosim().stdout == shown


def test_version() -> None:
    assert neurosim("--version").stdout.split()[-1] == __version__


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_has_the_options_of_all_and_a_line_of_help(words: list[str]) -> None:
    shown = neurosim(*words, "--help").stdout
    assert [flag for flag in FLAGS if flag not in shown] == []
    assert len(shown.split("Usage:")[1].split("Options:")[0].strip().splitlines()) >= 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulat"], "neurosim: no command 'simulat'; did you mean 'simulate'? See 'neurosim --help'"),
        (
            ["memory", "digits"],
            "neurosim: no command 'digits'; for data write: neurosim memory store digits; see 'neurosim memory --help'",
        ),
        (["zzz"], f"neurosim: no command 'zzz'; choose from {', '.join(COMMANDS)}; see 'neurosim --help'"),
        (["--zzz"], "neurosim: No such option '--zzz'; see 'neurosim --help'"),
        (
            ["completion", "bash", "--thread", "2"],
            "neurosim: No such option '--thread'. Did you mean '--threads'? See 'neurosim completion --help'",
        ),
        (["completion"], "neurosim: Missing argument 'bash|zsh|fish'; see 'neurosim completion --help'"),
        (["completion", "bash", "--threads", "0"], "neurosim: --threads: must be >= 1 (got 0)"),
        (["completion", "bash", "--seed", "-1"], "neurosim: --seed: must be >= 0 (got -1)"),
        (
            ["completion", "bash", "--seed", "x"],
            "neurosim: Invalid value for '--seed': 'x' is not a valid integer; see 'neurosim completion --help'",
        ),
        (
            ["completion", "bash", "--device", "cuda"],
            "neurosim: --device: this command runs on cpu only (got cuda); leave --device out",
        ),
        (
            ["completion", "bsh"],
            "neurosim: shell: unknown name 'bsh'; did you mean 'bash'? choose from bash, fish, zsh",
        ),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(words: list[str], message: str) -> None:
    assert line(neurosim(*words, expect=2)) == message


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_device_is_refused_everywhere_alike(words: list[str]) -> None:
    required = {"completion": ["bash"], "live": ["x", "--model", "x"], "datasets shard": ["x", "x"]}
    given = required.get(" ".join(words), ["x"])
    if words in ARGUMENTLESS:
        given = []
    assert "(got cuda); leave --device out" in line(neurosim(*words, *given, "--device", "cuda", expect=2))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str) -> None:
    assert "_NEUROSIM_COMPLETE" in neurosim("completion", shell).stdout
    found = json.loads(neurosim("completion", shell, "--json").stdout)
    assert found["shell"] == shell and "_NEUROSIM_COMPLETE" in found["script"]


COMPLETIONS = {"neurosim sim": "simulate", "neurosim simulate nmn": "nmnist", "neurosim simulate --thr": "--threads"}


@pytest.mark.parametrize("typed", sampled(COMPLETIONS, ["neurosim simulate nmn"]))
def test_completion_completes(typed: str) -> None:
    environment = {
        **os.environ,
        "_NEUROSIM_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from neurosim.app.cli import main; main()"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert [entry.split(",")[1] for entry in done.stdout.split()] == [COMPLETIONS[typed]]


def failing(error: BaseException) -> Program:
    """A program whose one command fails."""

    @click.command()
    @common()
    def command(options: CommandOptions) -> CommandResult:
        print("said by a library")
        raise error

    return program(command)


def program(command: click.Command) -> Program:
    group = Program(name="neurosim", entries={"run": CommandEntry("none", "Run.")})
    group.get_command = lambda ctx, name: command if name == "run" else None  # type: ignore[method-assign]
    return group


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (NeurosimInputError("a.b: must be so\n(got  x)"), 2, "neurosim: a.b: must be so (got x)"),
        (NeurosimWriteError("disk full"), 1, "neurosim: disk full"),
        (KeyboardInterrupt(), 130, "neurosim: interrupted; files that were already written are complete"),
        (
            OSError(errno.EACCES, "Permission denied", "/x"),
            1,
            "neurosim: /x: Permission denied; free the disk, or correct the path or its permissions, and run again",
        ),
        (
            MemoryError(),
            1,
            "neurosim: out of memory; make the network smaller, or use fewer recordings (--limit, --set "
            "data.train_limit=N)",
        ),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
            1,
            "neurosim: out of memory; make the network smaller, or use fewer recordings (--limit, --set "
            "data.train_limit=N)",
        ),
        (
            ValueError("array is too big; `arr.size * arr.dtype.itemsize` is larger than the maximum possible size."),
            1,
            "neurosim: out of memory; make the network smaller, or use fewer recordings (--limit, --set "
            "data.train_limit=N)",
        ),
    ],
)
def test_failures_are_one_line(error: BaseException, code: int, message: str) -> None:
    result = CliRunner().invoke(failing(error), ["run", "--json"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert [text for text in result.stderr.splitlines() if text][-1] == message


def test_a_bug_is_one_line_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = failing(ZeroDivisionError("by\nzero"))
    result = CliRunner().invoke(broken, ["run", "--json"])
    assert result.exit_code == 1
    said, message = result.stderr.splitlines()
    assert said == "said by a library"
    assert message.startswith("neurosim: internal error: ZeroDivisionError: by zero (at test_cli.py:")
    assert message.endswith("set NEUROSIM_DEBUG=1 for the traceback and report it")
    monkeypatch.setenv("NEUROSIM_DEBUG", "1")
    assert "Traceback" in CliRunner().invoke(broken, ["run"]).stderr


@pytest.mark.parametrize(("policy", "spins"), [(None, "1000"), ("active", None)])
def test_threads_of_torch_sleep_unless_the_user_says_how_they_wait(
    monkeypatch: pytest.MonkeyPatch, policy: str | None, spins: str | None
) -> None:
    # Kept, so that it is as it was after the test.
    monkeypatch.setenv("GOMP_SPINCOUNT", "")
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if policy is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0
    assert os.environ.get("GOMP_SPINCOUNT") == spins


def test_json_is_alone_on_stdout() -> None:
    @click.command()
    @common()
    def command(options: CommandOptions) -> CommandResult:
        print("said by a library")
        options.say("remark")
        return CommandResult({"a": np.float64(1.5), "b": np.arange(2), "c": Path("x"), "d": None}, "text")

    shown = CliRunner().invoke(program(command), ["run", "--json"])
    assert json.loads(shown.stdout) == {"a": 1.5, "b": [0, 1], "c": "x", "d": None}
    assert shown.stderr == "said by a library\nremark\n"
    assert CliRunner().invoke(program(command), ["run", "--json", "--quiet"]).stderr == "said by a library\n"
    assert CliRunner().invoke(program(command), ["run"]).stdout == "said by a library\ntext\n"


def test_json_is_strict() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": float("nan")})
    with pytest.raises(NeurosimInputError, match="a set has no plain form"):
        to_json({"a": {1}})


def test_tables_align() -> None:
    assert table([("a", "1"), ("long", "2"), ("c", "")], "title") == "title\n  a     1\n  long  2\n  c"


def test_a_full_disk_on_stdout_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "neurosim", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert next(text for text in done.stderr.splitlines() if text).startswith("neurosim: No space left on device")


def test_a_reader_that_stops_early_is_no_traceback() -> None:
    done = subprocess.run(
        f"{sys.executable} -m neurosim completion bash | true", shell=True, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


def test_help_is_quick() -> None:
    """Under 0.3 s on a quiet machine. Time of the processor is measured, which others on the machine change little."""
    times = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-m", "neurosim", "--help"], capture_output=True, check=True)
        after = os.times()
        times.append(sum(after[2:4]) - sum(before[2:4]))
    assert min(times) < 0.6
