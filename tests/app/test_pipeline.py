"""`neurosim simulate --config pipeline.toml`: recordings are learned in order, tested, measured and shown."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import neurosim, refused, result_of
from helpers.pipelines import WINDOW, prepare, write
from helpers.results import untimed
from helpers.samples import sampled

from neurosim import Recordings, Spikes, simulate
from neurosim.app.runs.pipeline import KIND
from neurosim.app.runs.pipeline.config import configure
from neurosim.app.runs.pipeline.inputs import PipelineInputs
from neurosim.app.runs.pipeline.result import PipelineResult
from neurosim.base import NeurosimInputError
from neurosim.base.json_toml import read_json
from neurosim.base.random import rng_key
from neurosim.data import catalog
from neurosim.data.files.arrays import read_arrays

FILES = {"manifest.json", "config.toml", "metrics.json", "spikes.h5", "learned.safetensors", "report.html"}
ARRAYS = "arrays.safetensors"


@pytest.fixture(autouse=True)
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the pipeline as it stands, on one thread."""
    folder = tmp_path_factory.mktemp("ran")
    with pytest.MonkeyPatch.context() as patch:
        prepare(folder, patch)
        neurosim("simulate", "--config", write("pipe.toml"), "--out", "run", "--quiet", "--threads", "1")
    return folder / "run"


@pytest.fixture
def run(ran: Path, pipeline: None) -> dict[str, Any]:
    """The results of the run, of which the current folder has its own copy."""
    shutil.copytree(ran, "run")
    write("pipe.toml")
    return read_json("run/metrics.json")


def test_the_run_is_one_simulation_by_hand_and_a_test_with_learning_off(run: dict[str, Any]) -> None:
    """The whole training set at once in the drawn order, then each test recording alone."""
    config = configure(Path("pipe.toml"))
    inputs = PipelineInputs(config)
    net = config.description.network
    train, test = (catalog.load("digits", split) for split in ("train", "test"))
    key = rng_key(3, "pipeline", "task 0", "epoch 0")
    order = np.random.Generator(np.random.Philox(key=key)).permutation(len(train))
    assert sorted(order) != list(order) and len(train) == 60
    learned = simulate(
        net, inputs.of(train.select(order), labelled=True), clock=5e-3, seed=3, trial=len(test), record=[]
    )
    assert learned.learned["readout"]["counts"].sum() > 60
    stored = read_arrays("run/learned.safetensors")
    assert {name.split("/")[0] for name in stored} == {"columns", "readout"}
    for population, arrays in learned.learned.items():
        for name, array in arrays.items():
            assert np.array_equal(stored[f"{population}/{name}"], array), (population, name)
    frozen = net.with_learned(learned.learned, learn=False)
    right = 0
    spikes = 0
    for i in range(len(test)):
        one = inputs.of(test.select([i]), labelled=False)
        answer = simulate(frozen, one, clock=5e-3, seed=3, trial=i).spikes
        spikes += sum(len(each.ticks) for each in answer.values() if isinstance(each, Recordings))
        right += int(answer["readout"].units[-1]) == test.labels[i]
    assert run["accuracy"] == right / len(test) > 0.3
    assert run["spikes"] == spikes
    assert run["samples"] == 30 and run["train_samples"] == 60 and run["unanswered"] == 0


def test_the_folder_holds_results_page_and_what_was_learned(run: dict[str, Any]) -> None:
    text = KIND.render_text(PipelineResult.from_dict(run))
    assert {p.name for p in Path("run").iterdir()} == FILES
    assert "through pipe" in text and "30 of the split “test” tested, seed 3" in text and "Accuracy" in text
    for line in ("columns", "edges", "readout"):
        assert any(row.split()[0] == line for row in text.splitlines() if row.strip()), text
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert (manifest["kind"], manifest["status"], manifest["seed"]) == ("pipeline", "done", 3)
    assert manifest["data"]["train"]["recordings"] == 60
    page = Path("run/report.html").read_text()
    shown = ["One recording, stage by stage", "What each stage costs", "windows of 160", 'id="confusion"']
    assert [words for words in shown if words not in page] == [] and "NaN" not in page
    Path("run/report.html").unlink()
    assert neurosim("report", "run").stdout.strip() == "run/report.html" and Path("run/report.html").is_file()
    measured = json.loads(neurosim("measure", "run", "--json", "--profile", "loihi").stdout)
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert measured["measures"] == metrics["measures"] and measured["dataset"] == "digits"
    assert "Footprint" in neurosim("measure", "run").stdout
    stages = {stage["name"]: stage for stage in metrics["stages"]}
    layers = {layer["name"]: layer for layer in metrics["measures"]["layers"]}
    assert set(stages) == set(layers) == {"columns", "edges", "readout"}
    assert stages["columns"]["operations"] == layers["columns"]["synaptic_operations"] / 30 > 0
    assert stages["edges"]["model"] == "LIF" and stages["edges"]["energy"]["low"] > 0


def test_what_was_learned_starts_another_network(run: dict[str, Any]) -> None:
    start = {
        name: {"learned": {"file": "run/learned.safetensors", "prefix": f"{name}/"}, "learn": False}
        for name in ("columns", "readout")
    }
    config = write("again.toml", population=start)
    again = result_of("simulate", "--config", config, "--out", "again")
    assert again["spike_digest"] == run["spike_digest"] and again["accuracy"] == run["accuracy"]
    # What --show-config prints is a network anywhere: it names the file that is there.
    own = Path("elsewhere", "shown.toml")
    own.parent.mkdir()
    own.write_text(neurosim("simulate", "--config", config, "--show-config", "--quiet").stdout)
    assert own.read_text().count(str(Path("run/learned.safetensors").absolute())) == 2
    assert "arrays.safetensors" not in own.read_text()
    assert neurosim("simulate", "--config", own, "--show-config", "--quiet").stdout == own.read_text()


def test_results_do_not_depend_on_threads_or_pieces(run: dict[str, Any]) -> None:
    other = result_of(
        "simulate", "--config", write("pipe.toml", data={"save_every": 50}), "--out", "b", "--threads", "2"
    )
    assert untimed(run) == untimed(other)
    assert Path("run/learned.safetensors").read_bytes() == Path("b/learned.safetensors").read_bytes()


@pytest.mark.slow
def test_tasks_are_learned_in_order_and_tested_after_each() -> None:
    tasks = [["3", "1"], [0, 7], ["4"]]
    more = {
        "population": [{"name": "task", "shape": 1, "model": "SpikeSource"}],
        "link": [{"source": "task", "target": "readout", "receptor": "task"}],
    }
    pipe = write("pipe.toml", more, data={"tasks": tasks, "task": "task", "shuffle": False, "epochs": 2})
    found = result_of("simulate", "--config", pipe, "--out", "run", "--set", "data.train_limit=50")
    matrix = np.array(found["matrix"])
    assert matrix.shape == (4, 3) and found["tasks"] == ["3, 1", "0, 7", "4"]
    test = catalog.load("digits", "test")
    every = np.isin(test.labels, [3, 1, 0, 7, 4])
    assert found["samples"] == every.sum() < 30 and found["train_samples"] == 25
    # Nothing is known of classes that have not come.
    assert matrix[1, 0] > 0.5 and matrix[1, 1] == matrix[1, 2] == 0 and matrix[2, 1] > 0.3 and matrix[3, 2] > 0
    weights = [np.isin(test.labels, task).sum() for task in ([3, 1], [0, 7], [4])]
    assert found["accuracy"] == pytest.approx(np.average(matrix[3], weights=weights))
    assert found["measures_of_tasks"]["acc"] == pytest.approx(matrix[3].mean())
    bwt = np.mean([matrix[3, j] - matrix[j + 1, j] for j in (0, 1)])
    assert found["measures_of_tasks"]["bwt"] == pytest.approx(bwt)
    assert read_arrays("run/learned.safetensors")["readout/tasks"].tolist() == [3]
    page = Path("run/report.html").read_text()
    assert "Accuracy on every task" in page and "3, 1" in page and "BWT" in page
    assert "ACC" in neurosim("simulate", "--config", pipe, "--out", "b", "--quiet").stdout


def test_recordings_are_lengthened_to_whole_windows_and_labels_come_in_the_last() -> None:
    inputs = PipelineInputs(configure(write("pipe.toml")))
    # 63 steps of the recording and one of delay end in the second window of 32 steps.
    assert inputs.steps(0.315) == 64 and inputs.steps(0.32) == 96 and inputs.steps(0.0) == 32
    batch = Recordings.collect([Spikes([0.1, 0.4], [5, 6], 2312, 0.5, (2, 34, 34))] * 2, [4, 2], tuple("0123456789"))
    played = inputs.of(batch, labelled=True)
    assert [len(each) for each in played["camera"]] == [1, 1]
    assert [(e.times.tolist(), e.units.tolist(), e.duration) for e in played["label"]] == [
        ([pytest.approx(WINDOW)], [4], pytest.approx(2 * WINDOW)),
        ([pytest.approx(WINDOW)], [2], pytest.approx(2 * WINDOW)),
    ]
    silent = inputs.of(batch, labelled=False)
    assert [len(each) for each in silent["label"]] == [0, 0] and list(silent["label"].durations) == [2 * WINDOW] * 2
    free = PipelineInputs(configure(write("free.toml", simulation={"duration": None})))
    assert list(free.of(batch, labelled=False)["label"].durations) == [pytest.approx(4 * WINDOW)] * 2


def test_loops_and_windows_of_other_lengths_add_to_the_way() -> None:
    config = configure(write("pipe.toml", population={"columns": {"window": 0.05}}))
    # The columns end at step 70, and the window of the readout that holds it at 96.
    assert PipelineInputs(config).steps(0.315) == 96
    loop = {"source": "edges", "target": "edges", "weight": 0.1, "delay": 0.4, "pattern": "AllToAll"}
    pipe = write("loop.toml", {"projection": [loop]})
    assert PipelineInputs(configure(pipe)).steps(0.315) == 64
    # A code that ends at step 64 comes through a delayed link to the window that begins there.
    late = write("late.toml", link={"columns->readout": {"delayed": True}})
    assert PipelineInputs(configure(late)).steps(0.315) == 96


def test_weights_that_start_anew_with_every_recording_are_named() -> None:
    plain = write("plain.toml")
    text = plain.read_text()
    at = text.index("[[projection]]") + len("[[projection]]")
    rule = 'plasticity = { rule = "STDP", w_min = -10.0, w_max = 10.0 }'
    Path("pipe.toml").write_text(f"{text[:at]}\n{rule}{text[at:]}")
    name = next(p.name for p in configure(Path("pipe.toml")).description.network.projections if p.learns)
    line = f"weights of '{name}' learn within a recording, also while testing, and start anew with the next one"
    done = neurosim("simulate", "--config", "pipe.toml", "--out", "run", "--limit", 10)
    assert line in done.stderr
    page = html.unescape(Path("run/report.html").read_text())
    assert line[1:] in page and "with all learning off" not in page
    silent = neurosim("simulate", "--config", plain, "--out", "plain", "--limit", 10)
    assert "start anew" not in silent.stderr
    page = Path("plain/report.html").read_text()
    assert "start anew" not in page and "with all learning off" in page


@pytest.mark.slow
def test_weights_that_are_kept_are_learned_over_all_recordings_in_order() -> None:
    rule = {"rule": "STDP", "w_min": -10.0, "w_max": 10.0, "a_plus": 0.001, "a_minus": 0.0005}
    learning = {"camera->edges": {"plasticity": rule, "keep": True}}
    done = neurosim("simulate", "--config", write("a.toml", projection=learning), "--out", "a", "--limit", 10)
    assert "weights of 'camera->edges' are kept from one training recording to the next" in done.stderr
    # Neither the size of pieces nor threads change what is learned.
    other = write("b.toml", projection=learning, data={"save_every": 50})
    neurosim("simulate", "--config", other, "--out", "b", "--limit", 10, "--threads", 2)
    learned = Path("a/learned.safetensors").read_bytes()
    assert learned == Path("b/learned.safetensors").read_bytes()
    page = html.unescape(Path("a/report.html").read_text())
    assert "are kept from one training recording to the next" in page and "with all learning off" in page
    # By hand: the training recordings in the order of the plan.
    config = configure(Path("a.toml"))
    train = catalog.load("digits", "train")
    key = rng_key(3, "pipeline", "task 0", "epoch 0")
    order = np.random.Generator(np.random.Philox(key=key)).permutation(len(train))
    played = PipelineInputs(config).of(train.select(order), labelled=True)
    found = simulate(config.description.network, played, clock=5e-3, seed=3, trial=10, record=[])
    weights = read_arrays("a/learned.safetensors")["camera->edges/weights"]
    assert np.array_equal(found.learned["camera->edges"]["weights"], weights)
    assert not np.array_equal(found.weights["camera->edges"][0], weights)
    # Another network starts from them.
    start = {"learned": {"file": "a/learned.safetensors", "array": "camera->edges/weights"}, "learn": False}
    again = configure(write("c.toml", projection={"camera->edges": {**learning["camera->edges"], **start}}))
    (projection,) = again.description.network.projections
    assert np.array_equal(projection.learned, weights) and not projection.learns and not again.remarks()


def test_a_dataset_and_limits_from_the_command_line() -> None:
    pipe = write("pipe.toml", data={"name": "nmnist"})
    found = result_of("simulate", "digits", "--config", pipe, "--limit", 10, "--seed", 5, "--out", "run")
    assert (found["dataset"], found["samples"], found["seed"]) == ("digits", 10, 5)


BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"link": {"label->readout": None}},
        "data.readout: population 'readout' learns from labels and no link brings them; add [[link]] with "
        'source = "label", target = "readout", receptor = "label"',
    ),
    ({"data": {"label": None}}, "data.label: is missing; give it in the config or with --set data.label=..."),
    ({"data": {"source": "edges"}}, "data.source: population 'edges' must be a SpikeSource (got LIF)"),
    ({"data": {"label": "edges"}}, "data.label: population 'edges' must be a SpikeSource (got LIF)"),
    ({"data": {"source": "camra"}}, "data.source: unknown name 'camra'; did you mean 'camera'?"),
    ({"data": {"readout": "edges"}}, "data.readout: population 'edges' must be windowed (got LIF)"),
    ({"data": {"label": "camera"}}, "data: must name different populations as source, label and task (got camera)"),
    (
        {"data": {"name": "shd"}},
        "data.source: population 'camera': must have the shape [700] of a recording of shd (got [2, 34, 34])",
    ),
    (
        {"population": {"label": {"shape": 9}}},
        "data.label: population 'label': must have a unit for each of the 10 classes of digits (got 9)",
    ),
    ({"data": {"tasks": [["0"], ["ten"]]}}, "data.tasks: class: unknown name 'ten'"),
    ({"data": {"tasks": [[0], [10]]}}, "data.tasks: class: must be in 0..9 (got 10)"),
    ({"data": {"tasks": [[0, 1], [1]]}}, "data.tasks: must have each class once; these occur more often (got 1)"),
    ({"data": {"tasks": [[0], []]}}, "data.tasks: task 2: must have at least one class (got none)"),
    ({"data": {"tasks": [0, 1]}}, "data.tasks[0]: must be a list (got 0"),
    ({"data": {"limits": 3}}, "data.limits: unknown key"),
    (
        {"simulation": {"clock": "continuous"}},
        "simulation.clock: must be > 0 s, the step on which windows are cut (got",
    ),
    (
        {"population": {"columns": {"window": 0.1605}}},
        "Population['columns'].model.window: must be a whole number of steps of 0.005 s, such as 0.16 or 0.165 s (got",
    ),
]


@pytest.mark.parametrize(("tables", "message"), BAD)
def test_one_clear_line_of_error(tables: dict[str, Any], message: str) -> None:
    line = refused("simulate", "--config", write("pipe.toml", **tables), "--out", "run", "--quiet")
    assert message in line
    assert not Path("run").exists()


def test_a_source_wider_than_the_sensor_is_named() -> None:
    wide = {"camera": {"shape": [2, 36, 36]}, "edges": {"shape": [2, 8, 8]}}
    pipe = write("pipe.toml", population=wide, link={"edges->columns": None})
    line = refused("simulate", "--config", pipe, "--quiet")
    assert "data.source: population 'camera': must have the shape [2, 34, 34] of a recording of digits" in line
    assert "(got [2, 36, 36])" in line


def test_other_sources_and_delays_without_a_bound_are_refused() -> None:
    pipe = write("pipe.toml", {"population": [{"name": "other", "shape": 1, "model": "SpikeSource"}]})
    assert "population 'other': a SpikeSource: must be data.source, data.label or data.task" in refused(
        "simulate", "--config", pipe, "--quiet"
    )
    delay = {"distribution": "Normal", "mean": 0.01, "sd": 0.001}
    config = configure(write("pipe.toml", projection={"camera->edges": {"delay": delay}}))
    with pytest.raises(NeurosimInputError, match=r"camera->edges'\].delay: must have an upper bound in a pipeline"):
        PipelineInputs(config).steps(0.3)


def test_a_network_without_data_is_still_run_as_one() -> None:
    Path("net.toml").write_text('[simulation]\nduration = 0.01\n[[population]]\nname = "E"\nshape = 3\nmodel = "LIF"\n')
    assert result_of("simulate", "--config", "net.toml", "--out", "run")["kind"] == "network"
    line = refused("simulate", "--config", write("pipe.toml"), "--checkpoint-every", "3", "--quiet")
    assert "--checkpoint-every: is data.save_every in a pipeline (got 3.0)" in line


def test_a_recording_without_an_answer_counts_as_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosim.app.runs.pipeline import learning

    config = configure(write("pipe.toml"))
    silent = replace(config.readout, learn=False)
    assert silent.learn is False
    monkeypatch.setattr(learning, "_last_code", lambda spikes: learning.NO_ANSWER)
    found = result_of("simulate", "--config", "pipe.toml", "--out", "run", "--limit", 12)
    assert found["accuracy"] == 0 and found["unanswered"] == 12 and np.sum(found["confusion"]) == 0
    assert "12 recordings had no answer" in Path("run/report.html").read_text()


def test_nir_gets_what_it_can_say_and_the_rest_is_named() -> None:
    pytest.importorskip("nir")
    from neurosim.network import from_nir

    pipe = write("pipe.toml")
    done = neurosim("simulate", "--config", pipe, "--out", "run", "--limit", 10, "--nir", "net.nir")
    lines = [line for line in done.stderr.splitlines() if line.startswith("net.nir: without ")]
    left_out = [
        "population 'columns': NIR has no Hierarchy, which acts once a window",
        "population 'readout': NIR has no Tally, which acts once a window",
        *(
            f"link '{name}': NIR has no windows, and so no links"
            for name in ("columns->readout", "edges->columns", "label->readout")
        ),
        "population 'label': leads to nothing that is left",
    ]
    assert lines == [f"net.nir: without {line}" for line in left_out]
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["nir"] == {"file": "net.nir", "left_out": left_out}
    back = from_nir("net.nir")
    assert sorted(p.name for p in back.populations) == ["camera", "edges"]
    net = configure(pipe).description.network
    train = catalog.load("digits", "train")[0]
    inputs = {"camera": train, "label": Spikes([], [], 10, train.duration)}
    expected = simulate(net, inputs, clock=5e-3, seed=3).spikes["edges"]
    assert simulate(back, train, clock=5e-3).spikes["edges"].digest() == expected.digest() and len(expected) > 0
    assert "--nir: needs a network in --config (got x.nir)" in refused("simulate", "digits", "--nir", "x.nir")


def test_nir_of_a_network_leaves_plasticity_out() -> None:
    pytest.importorskip("nir")
    rule = '{ rule = "STDP", w_max = 1.0 }'
    Path("net.toml").write_text(
        f"""[simulation]
duration = 0.01
[[population]]
name = "E"
shape = 3
model = "LIF"
[[population]]
name = "A"
shape = 3
model = "AdEx"
[[projection]]
source = "E"
target = "E"
pattern = "AllToAll"
weight = 0.1
plasticity = {rule}
[[projection]]
source = "E"
target = "A"
pattern = "AllToAll"
weight = 0.1
[[stimulus]]
target = "A"
rate = 10.0
weight = 0.1
"""
    )
    done = neurosim("simulate", "--config", "net.toml", "--out", "run", "--nir", "net.nir")
    assert [line for line in done.stderr.splitlines() if line.startswith("net.nir")] == [
        "net.nir: without population 'A': NIR has no AdEx; it has CubaLIF, IF, LI, LIF",
        "net.nir: without projection 'E->A': population 'A' is left out",
        "net.nir: without projection 'E->E': NIR has no plasticity; STDP is left out, its weights stay",
        "net.nir: without stimulus 'poisson->A': population 'A' is left out",
    ]
    Path("net.toml").write_text(
        '[simulation]\nduration = 0.01\n[[population]]\nname = "A"\nshape = 3\nmodel = "AdEx"\n'
    )
    line = refused("simulate", "--config", "net.toml", "--out", "other", "--nir", "net.nir", "--quiet")
    assert "NIR: can say nothing of this network (population 'A': NIR has no AdEx" in line
    assert not Path("other").exists()


@pytest.mark.parametrize("name", sampled(["16_columns", "17_tasks", "23_patches"], ["16_columns"]))
def test_the_pipelines_of_the_examples_run(name: str) -> None:
    """On few recordings; what they reach on all of them is in the docs."""
    config = Path(__file__).parents[2] / "examples" / f"{name}.toml"
    # So few recordings do not fill a dictionary of 200 patches.
    small = ["population.patches.units=30", "population.readout.inputs=120"] if name == "23_patches" else []
    changes = [word for change in small for word in ("--set", change)]
    found = result_of("simulate", "--config", config, *changes, "--out", "run")
    assert found["samples"] == 30 and found["train_samples"] == 60 and found["accuracy"] > 0.2, found["accuracy"]
    assert (len(found["matrix"]) == 6) == (name != "16_columns")


def test_the_program_of_the_docs_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text()
    (toml,) = re.findall(r"```toml[^\n]*\n(.*?)```", text, re.S)
    Path("pipeline.toml").write_text(toml)
    (program,) = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict[str, Any] = {}
    exec(compile(program, "docs/pipelines.md", "exec"), names)
    assert len(names["answers"]) == 10 and len(names["answers"].ticks) >= 10
    assert result_of("simulate", "--config", "pipeline.toml", "--out", "run")["accuracy"] > 0.2
