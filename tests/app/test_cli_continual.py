"""`neurosim continual ...` from the command to the files: what it prints, writes, resumes, compares and refuses."""

from __future__ import annotations

import csv
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import command
from helpers.browser import Browser
from helpers.tasks import SMALL, matrices

from neurosim.app import RunOptions, open_run, write_page
from neurosim.app.runs.continual.config import configure
from neurosim.app.runs.continual.trial import TrialResult, run_trial
from neurosim.app.runs.frame.lifecycle import start
from neurosim.base import NeurosimInputError
from neurosim.base.json_toml import read_json, write_json
from neurosim.data import read_state, write_state
from neurosim.learning.continual.matrix import MEASURES, Matrix, measures

pytest.importorskip("torch")
EVERY = {"manifest.json", "config.toml", "metrics.json", "report.html", "cells"}
neurosim = partial(command.neurosim, "continual")
ran = partial(command.result_of, "continual")
refused = partial(command.refused, "continual")
pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def trial(folder: Path) -> TrialResult:
    """The results of a trial, from its folder."""
    return TrialResult.from_dict(read_json(folder / "result.json"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run of three learners with two seeds, in this process."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.toml").write_text(SMALL)
    return ran("run", folder / "small.toml", "--seeds", 2, "--out", folder / "out")


def test_a_run_writes_its_folder_and_every_measure(run: dict[str, Any]) -> None:
    path = Path(run["run"])
    assert {p.name for p in path.iterdir()} == EVERY
    manifest = read_json(path / "manifest.json")
    assert (manifest["status"], manifest["kind"], manifest["seed"]) == ("done", "continual", 0)
    assert manifest["data"]["stream"] == {
        "tasks": 3,
        "names": "as they are; permutation 1; permutation 2",
        "scenario": "domain",
        "steps": 1,
        "units": 64,
        "classes": 10,
    }
    assert read_json(path / "metrics.json") == run
    assert [row["name"] for row in run["rows"]] == ["plain", "replay", "macrocolumn"] and run["failures"] == []
    assert run["seeds"] == [0, 1] and run["on"] == "test"
    for row in run["rows"]:
        assert row["seeds"] == [0, 1] and np.array(row["matrices"]).shape == (2, 4, 3)
        for each, matrix in zip(row["each"], row["matrices"], strict=True):
            assert each == pytest.approx(measures(Matrix(np.array(matrix))))
        assert set(row["measures"]) == set(MEASURES) and row["measures"]["acc"]["n"] == 2
        assert np.mean([e["acc"] for e in row["each"]]) == pytest.approx(row["measures"]["acc"]["mean"])


def test_the_table_has_a_formula_for_every_measure(config: Path) -> None:
    text = neurosim("run", config, "--learner", "macrocolumn", "--set", "stream.tasks=2").stdout
    for measure in MEASURES.values():
        assert measure.formula in text
    assert "macrocolumn" in text and "plain" not in text and "the same classes in all" in text


def test_a_learner_without_settings_refuses_any() -> None:
    words = ["learners.nearest_mean.k=1"]
    with pytest.raises(NeurosimInputError, match=r"nearest_mean\.k: unknown key, .* has no settings; leave it out"):
        configure(None, words, only=("nearest_mean",))


@pytest.mark.slow
def test_workers_change_nothing(config: Path, run: dict[str, Any]) -> None:
    words = ("--learner", "replay", "--learner", "macrocolumn")
    pooled = matrices(ran("run", config, *words, "--seeds", 2, "--workers", 2, "--out", "pooled"))
    assert pooled == {name: matrices(run)[name] for name in ("replay", "macrocolumn")}
    # A seed by itself is the same as among others.
    alone = ran("run", config, "--seed", 1, "--learner", "replay", "--out", "alone")
    assert alone["rows"][0]["matrices"] == [matrices(run)["replay"][1]]


def test_what_is_done_is_not_done_again(config: Path, run: dict[str, Any], tmp_path: Path) -> None:
    """A run cut off between tasks, between trials, or before its results: all end as the whole one did."""
    path = tmp_path / "cut"
    shutil.copytree(run["run"], path)
    manifest = read_json(path / "manifest.json")
    write_json(path / "manifest.json", {**manifest, "status": "interrupted", "reason": "killed"})
    (path / "metrics.json").unlink()
    shutil.rmtree(path / "cells" / "replay")
    kept = path / "cells" / "plain" / "seed-0" / "result.json"
    before = kept.stat().st_mtime_ns
    # What is finished is shown before the run goes on.
    shown = json.loads(command.neurosim("runs", "show", path, "--json").stdout)
    assert shown["results"] is None
    assert [row["name"] for row in shown["so_far"]["rows"]] == ["plain", "macrocolumn"]
    assert shown["so_far"]["rows"][0]["matrices"] == matrices(run)["plain"]
    text = command.neurosim("runs", "show", path).stdout
    assert "Finished so far:" in text and f"continue with: neurosim continual run --resume {path}" in text
    page = write_page(path).read_text()
    assert "replay, seed 1: has not finished its first task" in page and "macrocolumn" in page
    again = ran("run", "--resume", path)
    assert matrices(again) == matrices(run) and kept.stat().st_mtime_ns == before
    assert read_json(path / "manifest.json")["status"] == "done"
    assert "there is nothing to resume" in refused("run", "--resume", path)


def test_a_trial_goes_on_from_its_last_whole_task(run: dict[str, Any], tmp_path: Path) -> None:
    whole = trial(Path(run["run"]) / "cells" / "replay" / "seed-1")

    class Stop(Exception):
        pass

    def stop(tasks: float) -> None:
        if tasks > at:
            raise Stop

    for at in (0.0, 1.0, 1.5, 2.0):
        folder = tmp_path / f"stopped-{at}"
        with pytest.raises(Stop):
            run_trial(str(folder), whole.spec, on_progress=stop)
        assert not (folder / "result.json").exists()
        assert run_trial(str(folder), whole.spec, 1).matrix == whole.matrix


def test_a_sweep_is_measured_on_validation_items(config: Path) -> None:
    with config.open("a") as file:
        file.write("\n[sweep.replay]\nmemory = [10, 50]\n[sweep.common]\nlearning_rate = [1e-3, 5e-3]\n")
    found = ran("run", config, "--learner", "replay", "--learner", "macrocolumn", "--out", "swept")
    assert found["on"] == "validation"
    names = [f"replay, memory {m}, learning_rate {r}" for m in (10, 50) for r in ("0.001", "0.005")]
    assert [row["name"] for row in found["rows"]] == [*names, "macrocolumn"]
    assert [row["settings"]["memory"] for row in found["rows"][:4]] == [10, 10, 50, 50]
    assert len({json.dumps(row["matrices"]) for row in found["rows"]}) == 5
    assert (
        ran("run", "--config", config, "--learner", "macrocolumn", "--set", 'on="test"', "--out", "t")["on"] == "test"
    )


def test_a_sweep_of_the_stream(config: Path) -> None:
    with config.open("a") as file:
        file.write("\n[sweep.stream]\ntasks = [1, 2]\n")
    found = ran("run", config, "--learner", "macrocolumn")
    assert [(row["name"], len(row["tasks"])) for row in found["rows"]] == [
        ("macrocolumn, tasks 1", 1),
        ("macrocolumn, tasks 2", 2),
    ]
    assert found["rows"][0]["measures"]["bwt"] is None


def compared(*words: object) -> dict[str, Any]:
    """Return the results of a comparison of runs."""
    found: dict[str, Any] = json.loads(command.neurosim("runs", "compare", *words, "--json", "--quiet").stdout)
    return found


def test_runs_side_by_side(run: dict[str, Any], config: Path) -> None:
    other = ran("run", config, "--learner", "macrocolumn", "--set", "stream.tasks=2", "--out", "other")
    found = compared(run["run"], other["run"], "--out", "both")
    names = ["plain", "replay", f"macrocolumn ({Path(run['run']).name})", "macrocolumn (other)"]
    assert [row["name"] for row in found["rows"]] == names
    assert found["rows"][0]["matrices"] == run["rows"][0]["matrices"]
    written = {"mean-accuracy.svg", "first-task.svg", "measures.csv", "measures.tex"}
    assert {p.name for p in Path("both").iterdir()} == EVERY - {"cells"} | written
    table = list(csv.DictReader(Path("both/measures.csv").read_text().splitlines()))
    assert {(row["learner"], row["measure"]) for row in table} >= {("plain", "acc"), ("replay", "worst")}
    plain = found["rows"][0]["measures"]
    assert all(float(r["mean"]) == plain[r["measure"]]["mean"] for r in table if r["learner"] == "plain")
    ends = [row["p_to_best"] for row in table if row["measure"] == "acc" and row["learner"] in ("plain", "replay")]
    assert any(ends) and all(0 <= float(p) <= 1 for p in ends if p)
    latex = Path("both/measures.tex").read_text().splitlines()
    assert latex[0] == r"\begin{tabular}{lrrrrrrrrr}" and latex[4].startswith("plain & $") and len(latex) == 10
    text = command.neurosim("runs", "compare", run["run"], "--quiet").stdout
    assert "plain" in text and "+-" in text and "report.html" in text
    assert command.neurosim("report", "both")
    again = json.loads(command.neurosim("runs", "rerun", "both", "--json", "--quiet").stdout)
    assert again["rows"] == found["rows"] and again["rerun"]["differing"] == []


def test_everything_is_listed() -> None:
    found = ran("list")
    assert set(found["streams"]) == {"permuted", "rotated", "split", "mixed"}
    assert set(found["learners"]) >= {
        "plain",
        "joint",
        "replay",
        "ewc",
        "si",
        "hlop",
        "dendrites",
        "macrocolumn",
        "liquid",
    }
    text = neurosim("list").stdout
    assert "macrocolumns: single trial" in text and MEASURES["bwt"].formula in text


@pytest.mark.parametrize("words", [("list", "--seed", "1"), ("list", "--out", "x")])
def test_options_without_a_use_are_refused(words: tuple[str, ...]) -> None:
    assert refused(*words) == f"neurosim: {words[-2]}: this command has no use for it; leave it out"


def test_lists_have_whole_sentences() -> None:
    assert "(Goodfellow et al. 2013, arXiv 1312.6211)" in " ".join(command.neurosim("continual", "list").stdout.split())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--learner", "replai"], "learner: unknown name 'replai'; did you mean 'replay'?"),
        (["--set", "stream.kind=permutted"], "stream.kind: unknown name 'permutted'; did you mean 'permuted'?"),
        (["--set", "stream.task=3"], "stream.task: unknown key, from --set; did you mean 'stream.tasks'?"),
        (["--set", "learners.replay.memry=3"], "learners.replay.memry: unknown key"),
        (["--set", "learners.replay.memory=0"], "learners.replay.memory: must be >= 1 items (got 0, from"),
        (["--set", "common.colour=3"], "common: must be settings of the learners plain, replay, macrocolumn"),
        (["--set", "sweep.replay.memory=3"], "sweep.replay.memory: must be a list of at least one value (got 3)"),
        (["--set", "sweep.replay.memory=[3, 3]"], "sweep.replay.memory: takes each value once; leave the second out"),
        (["--set", "learners.replay=3"], "learners.replay: must be a table of settings (got 3)"),
        (
            ["--set", "energy.profile=horowitz54"],
            "energy profile: unknown name 'horowitz54'; did you mean 'horowitz45'",
        ),
        (["--set", "sweep.replay.colour=[3]"], "sweep.replay.colour: must be the name of a setting"),
        (["--set", "sweep.replay.memory=[0]"], "learners.replay.memory: must be >= 1 items (got 0, from"),
        (["--set", "stream.tasks=0"], "stream.tasks: must be >= 1 (got 0, from --set)"),
        (["--set", "seeds=0"], "seeds: must be >= 1"),
        (["--workers", "0"], "--workers: must be >= 1 (got 0)"),
        (["--set", "stream.kind=rotated", "--set", "stream.angles=[0, 360]"], "stream.tasks: unknown key"),
        (["--config", "other.toml"], "FILE: give it or --config, not both"),
    ],
)
def test_bad_settings(config: Path, words: list[str], line: str) -> None:
    assert line in refused("run", config, *words)
    assert not Path("runs").exists()


def test_a_stream_that_repeats_a_task_is_refused_before_anything_runs(config: Path) -> None:
    config.write_text('[stream]\nkind = "split"\ngroups = [[0, 1], [1, 2]]\n')
    assert "stream.groups: must have each class once; these occur more often (got [1], from" in refused("run", config)
    config.write_text('[stream]\nkind = "split"\ngroups = [[0, 1], [2, 11]]\n')
    assert "stream.groups: must be classes of digits" in refused("run", config)
    assert not Path("runs").exists()


def test_a_loss_that_runs_away_keeps_the_last_good_state(config: Path, run: dict[str, Any]) -> None:
    diverging = "learners.replay.learning_rate=3e37"
    result = neurosim("run", config, "--seeds", 1, "--set", diverging, "--out", "nan", expect=1)
    line = result.stderr.splitlines()[-1]
    assert line.startswith("neurosim: replay, seed 0: replay: the loss is") and "of task 0 (as they are)" in line
    metrics = read_json("nan/metrics.json")
    # The others are whole.
    assert [row["name"] for row in metrics["rows"]] == ["plain", "macrocolumn"] and len(metrics["failures"]) == 1
    assert matrices(metrics)["plain"][0] == matrices(run)["plain"][0]
    assert open_run(Path("nan")).manifest.status == "failed"
    assert "the loss is" in Path("nan/report.html").read_text()


def test_a_loss_that_runs_away_later(run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from neurosim import NeurosimError
    from neurosim.learning.continual.learners.plain import Plain

    spec = trial(Path(run["run"]) / "cells" / "plain" / "seed-0").spec
    whole = run_trial(str(tmp_path / "whole"), spec)
    plain = Plain.objective

    def poisoned(self: Plain, batch: Any, chance: Any) -> Any:
        return plain(self, batch, chance) * (float("nan") if self.learned == 2 else 1.0)

    monkeypatch.setattr(Plain, "objective", poisoned)
    words = r"the loss is nan at step 1 of 4 of task 2 .*seed 0; the state after 2 tasks is in .*state.safetensors"
    with pytest.raises(NeurosimError, match=words):
        run_trial(str(tmp_path / "bad"), spec)
    monkeypatch.undo()
    assert run_trial(str(tmp_path / "bad"), spec).matrix == whole.matrix
    assert torch.get_num_threads() >= 1


def test_the_checkpoint_of_another_model_is_refused(run: dict[str, Any], tmp_path: Path) -> None:
    cells = Path(run["run"]) / "cells"
    spec = trial(cells / "plain" / "seed-0").spec
    for other, words in (("replay/seed-0", "learner, settings differ"), ("plain/seed-1", r"\(seed differ\)")):
        shutil.copytree(cells / other, tmp_path / other)
        (tmp_path / other / "result.json").unlink()
        with pytest.raises(NeurosimInputError, match=f"state.safetensors: is the checkpoint of another model.*{words}"):
            run_trial(str(tmp_path / other), spec)
    with pytest.raises(NeurosimInputError, match=r"result.json: is of another learner, stream or seed"):
        run_trial(str(cells / "plain" / "seed-1"), spec)


def test_a_state_that_lacks_a_task_is_refused(run: dict[str, Any], tmp_path: Path) -> None:
    from neurosim.app.runs.continual.trial import FORMAT, VERSION

    source = Path(run["run"]) / "cells" / "plain" / "seed-0"
    spec = trial(source).spec
    settings, arrays = read_state(source / "state.safetensors", FORMAT, VERSION)
    matrix = arrays["matrix"].copy()
    matrix[2] = np.nan
    write_state(tmp_path / "state.safetensors", FORMAT, VERSION, settings, {**arrays, "matrix": matrix})
    with pytest.raises(NeurosimInputError, match="accuracies after 2 tasks and a model that learned 3 of 3"):
        run_trial(str(tmp_path), spec)
    (tmp_path / "state.safetensors").write_bytes((source / "state.safetensors").read_bytes()[:-100])
    with pytest.raises(NeurosimInputError, match=r"state\.safetensors"):
        run_trial(str(tmp_path), spec)


def test_runs_of_other_kinds(run: dict[str, Any], config: Path) -> None:
    def refused_comparison(*words: object) -> str:
        return str(command.neurosim("runs", "compare", *words, expect=2).stderr)

    assert "no such run folder" in refused_comparison("nowhere")
    Path("network").mkdir()
    write_json("network/manifest.json", {"format": "neurosim-run", "version": 1, "kind": "network"})
    assert "network: is not a continual run; give folders" in refused_comparison(run["run"], "network")
    assert "network: holds a run of a network, not a continual run; continue with: neurosim simulate" in refused(
        "run", "--resume", "network"
    )
    assert "cannot be combined with options that change the result; leave them out (got 3)" in refused(
        "run", "--resume", run["run"], "--seeds", 3
    )
    swept = ran("run", config, "--learner", "macrocolumn", "--set", 'on="validation"', "--out", "validated")
    assert "needs runs measured on the same items" in refused_comparison(run["run"], swept["run"])


def test_every_learner_and_task_has_its_work(run: dict[str, Any]) -> None:
    for row in run["rows"]:
        assert [work["task"] for work in row["work"]] == row["tasks"]
        for k, work in enumerate(row["work"]):
            name = f"{Path(run['run']) / 'cells' / row['name']}"
            each = [trial(Path(name) / f"seed-{seed}").work[k] for seed in (0, 1)]
            assert work["updates"] == np.mean([one.updates for one in each]) > 0
            assert work["memory"] == each[0].memory and work["reasons"] == {}
            assert work["measures"]["samples"] == 2 * 40
            for parts in zip(work["measures"]["layers"], *(one.measures.layers for one in each), strict=True):
                operations = [part.synaptic_operations for part in parts[1:]]
                assert parts[0]["synaptic_operations"] == sum(operations) > 0
            assert work["energy"]["memory_aware"]["low"] > work["energy"]["compute_only"]["low"] > 0
    # 60 items in batches of 32, twice, of a net of 64-30-10.
    assert [work["updates"] for work in run["rows"][0]["work"]] == [4 * (64 * 30 + 30 + 30 * 10 + 10)] * 3


def test_measure_prints_the_work_and_takes_another_profile(run: dict[str, Any], tmp_path: Path) -> None:
    again = json.loads(command.neurosim("measure", run["run"], "--json").stdout)
    assert {row["name"]: row["work"] for row in again["learners"]} == {row["name"]: row["work"] for row in run["rows"]}
    assert again["on"] == "test" and again["run"] == run["run"]
    text = command.neurosim("measure", run["run"], "--profile", "loihi", "--out", tmp_path / "there").stdout
    assert "updates" in text and "permutation 2" in text and "(estimate, loihi)" in text
    assert "  - plain: " in text, "why a figure of the profile is unknown"
    loihi = read_json(tmp_path / "there" / "measures.json")["learners"][0]["work"][0]["energy"]
    assert loihi["profile"] == "loihi" and loihi["compute_only"] is None
    line = command.neurosim("measure", run["run"], "--set", "stream.tasks=2", expect=2).stderr
    assert "nothing of it can change; leave these out (got ['stream'])" in line
    joined = compared(run["run"], "--out", tmp_path / "compared")
    both = json.loads(command.neurosim("measure", joined["run"], "--json").stdout)
    assert both["learners"] == again["learners"]


def test_measure_of_a_run_that_counted_no_work(run: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(run["run"], tmp_path / "former", ignore=shutil.ignore_patterns("cells"))
    for row in (tree := read_json(tmp_path / "former" / "metrics.json"))["rows"]:
        del row["work"]
    write_json(tmp_path / "former" / "metrics.json", tree)
    line = command.neurosim("measure", tmp_path / "former", expect=2).stderr
    assert "metrics.json: lacks the counts of the learners ('work'); run again" in line
    page = write_page(tmp_path / "former").read_text()
    assert "The run counted no work" in page


def test_a_trial_that_goes_on_keeps_the_work_of_its_tasks(run: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(Path(run["run"]) / "cells" / "replay" / "seed-0", tmp_path / "trial")
    done = trial(tmp_path / "trial")
    (tmp_path / "trial" / "result.json").unlink()
    assert run_trial(str(tmp_path / "trial"), done.spec) == done


@pytest.mark.slow
def test_a_cluster_gives_the_same(config: Path, run: dict[str, Any], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="dask is not installed: pip install '.[cluster]'")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path / "dask")
    ) as cluster:
        found = ran("run", config, "--seeds", 2, "--cluster", cluster.scheduler_address, "--out", "far")
    assert matrices(found) == matrices(run)


def test_learners_that_cannot_use_a_card_are_named(config: Path, tmp_path: Path) -> None:
    from neurosim.app.runs.continual import KIND

    chosen = configure(config, only=("plain", "liquid", "macrocolumn"))
    options = RunOptions(out=tmp_path / "run", device="cuda")
    with pytest.raises(NeurosimInputError, match=r"--device: learners liquid, macrocolumn run on the CPU only"):
        start(KIND, chosen, options)
    assert not (tmp_path / "run").exists()


def test_the_page_shows_every_learner_and_every_formula(run: dict[str, Any]) -> None:
    page = (Path(run["run"]) / "report.html").read_text()
    for name in ("plain", "replay", "macrocolumn"):
        assert f"{name}: accuracy on each of 3 tasks" in page
    for measure in MEASURES.values():
        assert measure.title in page
    assert "Work" in page and "weights 9.06" in page and "memory 2." in page
    assert page.count("after 3 tasks:") == 9


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_opens_whole(run: dict[str, Any], chromium: str, width: int, dark: bool) -> None:
    with Browser(chromium) as browser:
        visit = browser.open(Path(run["run"]) / "report.html", width=width, dark=dark)
    assert not visit.console + visit.requests + visit.missing
    # A map of each learner, two charts of curves.
    assert visit.charts == 3 + 2 and visit.overflow == 0


def test_a_page_of_little(tmp_path: Path) -> None:
    write_json(tmp_path / "metrics.json", {"kind": "continual", "rows": [{"matrices": [[1]]}, {"matrices": "x"}]})
    page = write_page(tmp_path).read_text()
    assert "The run recorded no accuracy matrix" in page
