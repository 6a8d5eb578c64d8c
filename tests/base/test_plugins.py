"""Plugins: files that the user names and entry points of packages, found everywhere, noted in the run, and refused."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.command import neurosim, refused, result_of

from neurosim.base import NeurosimInputError, NeurosimMissingError, plugins
from neurosim.base.json_toml import read_json, write_json
from neurosim.data import catalog
from neurosim.learning.continual.learners import LEARNERS, kind
from neurosim.network.neurons import MODELS

OWN = '''
    import types
    from dataclasses import dataclass, replace

    from pathlib import Path

    import numpy as np

    from neurosim.learning.continual.learner import Learner
    from neurosim.learning.continual.streams import Split
    from neurosim.data.catalog import Dataset
    from neurosim.network.neurons import LIF
    from neurosim.data.recordings import Recordings
    from neurosim.data.spikes import Spikes

    @dataclass(frozen=True)
    class Settings:
        slow: bool = False

    class Majority(Learner):
        """Answers the most frequent class. Nothing else."""

        SETTINGS = Settings

        def __init__(self, problem, settings):
            super().__init__(problem)
            self.counts = np.zeros(problem.classes)

        def begin(self, task):
            pass

        def learn(self, task, on_progress=None):
            if Path("fails").exists() and (self.problem.seed, task.index) == (1, 1):
                raise ValueError("half way")
            self.counts += np.bincount(task.train.y, minlength=self.problem.classes)
            self.learned += 1

        def scores(self, x, task):
            return np.tile(self.counts, (len(x), 1))

        def state(self):
            return {"counts": self.counts, "learned": np.array([self.learned])}

        def restore(self, arrays, earlier):
            self.counts, self.learned = arrays["counts"].copy(), int(arrays["learned"][0])

    @dataclass(frozen=True)
    class Pairs(Split.__mro__[1]):
        """Two classes at a time."""

        source: str = "digits"

        def check(self):
            pass

        def build(self, seed):
            return Split(source=self.source, each=5, train_limit=40, test_limit=20).build(seed)

    def flashes(split, root):
        parts = [Spikes([0.01 * (k % 2 + 1)] * 5, [k % 2] * 5, 4, 0.05) for k in range(8)]
        return Recordings.collect(parts, [k % 2 for k in range(8)], ("a", "b"))

    INFO = Dataset(name="flashes", title="Flashes", folder="flashes", layout="none", shape=(4,), classes=("a", "b"),
                   splits=("train", "test"), licence="mine", about="Mine.")
    dataset = types.SimpleNamespace(INFO=INFO, load=flashes)

    @dataclass(frozen=True)
    class Twin(LIF):
        """A LIF under another name."""

    PLUGINS = {
        "datasets": {"flashes": dataset},
        "learners": {"majority": Majority},
        "neurons": {"Twin": Twin},
        "streams": {"pairs": Pairs},
    }
'''


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No plugins before and after."""
    monkeypatch.setattr(plugins, "_FILES", {})
    monkeypatch.setattr(plugins, "_USED", {})
    plugins._points.cache_clear()
    yield
    plugins._points.cache_clear()


@pytest.fixture
def own(tmp_path: Path, elsewhere: None) -> Path:
    path = tmp_path / "own.py"
    path.write_text(textwrap.dedent(OWN))
    (tmp_path / "data").mkdir()
    return path


def test_a_file_is_run_only_when_it_is_asked_for(own: Path) -> None:
    assert "majority" not in LEARNERS and "flashes" not in catalog.datasets()
    with pytest.raises(NeurosimInputError, match="learner: unknown name 'majority'"):
        kind("majority")
    plugins.run_files([own])
    assert kind("majority").__name__ == "Majority" and MODELS["Twin"].__name__ == "Twin"
    assert LEARNERS["majority"].title == "Answers the most frequent class. Nothing else"
    assert "flashes" in catalog.datasets() and len(catalog.load("flashes", "train", own.parent)) == 8
    plugins.run_files([own])  # once


def test_a_learner_and_a_stream_of_ones_own(own: Path) -> None:
    words = ("--plugin", own, "--set", "stream.kind=pairs", "--learner", "majority", "--seeds", "2")
    result = result_of("continual", "run", *words, "--out", "run")
    assert result["rows"][0]["learner"] == "majority" and len(result["rows"][0]["tasks"]) == 2
    manifest = read_json(Path("run/manifest.json"))
    assert manifest["plugins"][str(own)].startswith("sha256:")
    assert str(own) in Path("run/report.html").read_text()
    listed = neurosim("continual", "list", "--plugin", own).stdout
    assert "majority" in listed and "pairs" in listed


def test_a_learner_that_fails_half_way_keeps_its_other_seeds_and_goes_on(own: Path) -> None:
    words = ("--plugin", own, "--set", "stream.kind=pairs", "--learner", "majority", "--seeds", "2", "--quiet")
    whole = result_of("continual", "run", *words, "--out", "whole")
    Path("fails").touch()
    line = neurosim("continual", "run", *words, "--out", "cut", expect=1).stderr
    assert "majority, seed 1: learner majority: ValueError: half way (at own.py:" in line and "--resume" in line
    assert read_json(Path("cut/metrics.json"))["rows"][0]["seeds"] == [0]
    Path("fails").unlink()
    again = result_of("continual", "run", "--plugin", own, "--resume", "cut", "--quiet")
    assert again["rows"][0]["matrices"] == whole["rows"][0]["matrices"] and not again["failures"]


@pytest.mark.slow
def test_processes_have_the_plugins_too(own: Path) -> None:
    words = ("--plugin", own, "--set", "stream.kind=pairs", "--learner", "majority", "--seeds", "2")
    one, two = (result_of("continual", "run", *words, "--workers", k, "--out", f"run{k}") for k in (1, 2))
    assert one["rows"][0]["matrices"] == two["rows"][0]["matrices"]


def test_a_run_is_resumed_with_the_same_file(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--plugin", own, "--set", "stream.kind=pairs", "--learner", "majority", "--out", "run", "--quiet")
    neurosim("continual", "run", *words)
    manifest = read_json(Path("run/manifest.json"))
    write_json("run/manifest.json", {**manifest, "status": "interrupted"})
    monkeypatch.setattr(plugins, "_FILES", {})
    line = refused("continual", "run", "--resume", "run")
    assert line == f"neurosim: run: was begun with --plugin {own}, and it was not given; give the same file"
    own.write_text(own.read_text() + "\n")
    line = refused("continual", "run", "--resume", "run", "--plugin", own)
    assert line == f"neurosim: run: was begun with --plugin {own}, and its content changed; give the same file"
    own.write_text(own.read_text()[:-1])
    monkeypatch.setattr(plugins, "_FILES", {})
    neurosim("continual", "run", "--resume", "run", "--plugin", own, "--quiet")
    assert read_json(Path("run/manifest.json"))["status"] == "done"


def test_a_dataset_and_a_neuron_of_ones_own(own: Path) -> None:
    words = ("--plugin", own, "--set", f"data.root={own.parent / 'data'}", "--set", "liquid.neurons=40")
    result = result_of("simulate", "flashes", *words, "--threads", "1", "--out", "a")
    assert result["samples"] == 8 and result["classes"] == ["a", "b"]
    Path("net.toml").write_text(
        '[simulation]\nduration = 0.05\n[[population]]\nname = "A"\nshape = 3\nmodel = "Twin"\ntau_mem = 0.01\n'
    )
    result = result_of("simulate", "--config", "net.toml", "--plugin", own, "--threads", "1", "--out", "b")
    assert result["populations"][0]["model"] == "Twin"


ENTRY = """
    [neurosim.learners]
    theirs = theirs:Theirs
    broken = theirs:Nothing
    plain = theirs:Theirs
    wrong = theirs:INFO
    [neurosim.kinds]
    greeting = greeting
"""
THEIRS = '''
    from neurosim.learning.continual.learners.plain import Plain
    INFO = 3

    class Theirs(Plain):
        """Their net."""
'''
GREETING = {
    "__init__.py": '''
        """Say hello."""
        from dataclasses import dataclass
        from neurosim.app.runs.frame.kind import Inputs, Kind, RunResult

        @dataclass(frozen=True, kw_only=True)
        class Greeting(RunResult):
            kind: str = "greeting"
            words: str = ""

        class Greet(Kind):
            name = "greeting"
            title = "a greeting"
            result = Greeting

            def configure(self, file=None, sets=(), values=None):
                return {"seed": 0}

            def settings(self, config):
                return config

            def schemas(self):
                return {}

            def run_name(self, config):
                return "greeting"

            def load(self, config, options):
                return Inputs("hello", {})

            def work(self, run):
                return Greeting(words=run.inputs)

        KIND = Greet()
    ''',
    "command.py": '''
        from neurosim.app.runs.frame.command import run_command

        @run_command()
        def command(options):
            """Say hello."""
            from . import KIND

            return KIND
    ''',
    "overview.py": "from neurosim.app.runs.frame.facts import Overview\n\n\ndef overview_of(result):\n"
    "    return Overview(title=result.words, lead=[], facts=[])\n",
    "page.py": "def fill(folder, result):\n    return {}\n",
    "page.html": "{% extends 'base.html' %}{% block main %}{% endblock %}",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: None) -> None:
    """An installed package, as `importlib.metadata` sees it."""
    site = tmp_path / "site"
    (site / "greeting").mkdir(parents=True)
    (site / "theirs-1.2.dist-info").mkdir()
    (site / "theirs-1.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.2\n")
    (site / "theirs-1.2.dist-info" / "entry_points.txt").write_text(textwrap.dedent(ENTRY))
    (site / "theirs.py").write_text(textwrap.dedent(THEIRS))
    for name, text in GREETING.items():
        (site / "greeting" / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(site)
    yield  # type: ignore[misc]
    for name in [name for name in sys.modules if name.split(".")[0] in ("theirs", "greeting")]:
        del sys.modules[name]


def test_entry_points_are_imported_when_they_are_used(package: None) -> None:
    pytest.importorskip("torch")
    assert {"theirs", "broken"} <= set(LEARNERS) and "theirs" not in sys.modules
    assert kind("theirs").__name__ == "Theirs" and plugins.provenance() == {"learners theirs": "theirs 1.2"}
    # The package's own names stay.
    assert kind("plain").__name__ == "Plain" and LEARNERS["plain"].module == "plain"
    with pytest.raises(NeurosimInputError, match=r"learners 'broken': theirs 1\.2 cannot be imported \(AttributeError"):
        kind("broken")
    with pytest.raises(NeurosimInputError, match=r"plugin learners 'wrong': must be a class derived from .*Learner"):
        kind("wrong")


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: None) -> Iterator[Path]:
    """An installed package whose every entry fails on import; the file is there once it was tried."""
    site = tmp_path / "broken"
    tried = tmp_path / "tried"
    (site / "bad-3.0.dist-info").mkdir(parents=True)
    (site / "bad-3.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 3.0\n")
    groups = [f"[neurosim.{group}]\nbad = bad:Bad\n" for group in plugins.GROUPS]
    (site / "bad-3.0.dist-info" / "entry_points.txt").write_text("\n".join(groups))
    (site / "bad.py").write_text(f"open({str(tried)!r}, 'w').close()\nraise OSError('no such device')")
    monkeypatch.syspath_prepend(site)
    plugins._warn_once.cache_clear()
    yield tried


NETWORK = """
    [simulation]
    duration = 0.01
    [[population]]
    name = "a"
    shape = 3
    model = "LIF"
"""


@pytest.mark.parametrize(
    "words",
    [
        ("simulate", "digits", "--show-config"),
        ("simulate", "--config", "net.toml", "--quiet"),
        ("datasets", "info", "digits"),
        ("continual", "run", "--learner", "macrocolumn", "--set", "stream.source=digits", "--show-config"),
        ("schema", "train"),
        ("schema", "folder"),
        ("--help",),
    ],
)
def test_a_plugin_that_is_not_named_is_not_imported(words: tuple[str, ...], broken: Path) -> None:
    Path("net.toml").write_text(textwrap.dedent(NETWORK))
    neurosim(*words)
    assert not broken.exists()


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize(
    ("words", "group", "shown"),
    [
        (("datasets", "list"), "datasets", "digits"),
        (("schema", "network"), "neurons", "AdEx"),
        (("continual", "list"), "learners", "macrocolumn"),
        (("schema",), "kinds", "continual"),
    ],
)
def test_a_list_leaves_a_broken_plugin_out_and_says_so(
    words: tuple[str, ...], group: str, shown: str, broken: Path
) -> None:
    if words[0] == "continual":
        pytest.importorskip("torch")
    result = neurosim(*words)
    assert shown in result.stdout and "bad" not in result.stdout
    said = [line for line in result.stderr.splitlines() if f"{group} 'bad'" in line]
    expected = "bad 3.0 cannot be imported (OSError: no such device); update or uninstall it; it is left out"
    assert said == [f"neurosim: {group} 'bad': {expected}"]


def test_a_broken_plugin_that_is_named_is_an_error(broken: Path) -> None:
    assert "datasets 'bad': bad 3.0 cannot be imported (OSError" in refused("datasets", "info", "bad")
    Path("net.toml").write_text(textwrap.dedent(NETWORK).replace("LIF", "bad"))
    assert "neurons 'bad': bad 3.0 cannot be imported (OSError" in refused("simulate", "--config", "net.toml")
    assert "kinds 'bad': bad 3.0 cannot be imported (OSError" in refused("bad", "--out", "run")


def test_a_kind_of_run_of_others(package: None) -> None:
    assert "greeting" in neurosim("--help").stdout
    assert json.loads(neurosim("greeting", "--json", "--out", "run").stdout)["words"] == "hello"
    assert "<title>hello</title>" in Path("run/report.html").read_text()
    assert neurosim("report", "run").stdout.strip() == "run/report.html"
    manifest = read_json(Path("run/manifest.json"))
    assert manifest["kind"] == "greeting" and manifest["plugins"] == {"kinds greeting": "theirs 1.2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", r"must define PLUGINS = .* \(got None\)"),
        ("PLUGINS = {'learner': {}}", "group: unknown name 'learner'; did you mean 'learners'"),
        ("PLUGINS = {'learners': 3}", r"must define PLUGINS = .* \(got \{'learners': 3\}\)"),
        ("1 / 0", r"cannot be imported \(ZeroDivisionError: division by zero\)"),
    ],
)
def test_files_that_are_no_plugins(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(NeurosimInputError, match=rf"--plugin .*a\.py: {message}"):
        plugins.run_files([tmp_path / "a.py"])
    assert not plugins.files()


def test_names_are_given_once(own: Path) -> None:
    plugins.run_files([own])
    other = own.with_name("other.py")
    other.write_text("PLUGINS = {'learners': {'majority': 1}}")
    with pytest.raises(NeurosimInputError, match="learners 'majority': must have a name of its own"):
        plugins.run_files([other])
    with pytest.raises(NeurosimMissingError, match=r"none\.py: no such file; give a Python file"):
        plugins.run_files([own.with_name("none.py")])
