"""SONATA networks: what their files say becomes the engine's network; results are written as SONATA files."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.peers import PEERS_PYTHON
from helpers.sonata_files import write_edges, write_network, write_nodes, write_spikes, write_table

from neurosim import LIF
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.engine.sonata.circuit import read_circuit
from neurosim.network import AlphaLIF, StepCurrent

# Parameters of the published network, which are not beside it.
SITE = PEERS_PYTHON.parents[1] / "lib" / "python3.11" / "site-packages"
COMPONENTS = SITE / "nest/doc/examples/pynest/sonata_example/300_pointneurons/components"


def test_files_become_a_network(tmp_path: Path) -> None:
    circuit = read_circuit(write_network(tmp_path))
    net = circuit.description.network
    cells = net.population("cells").model
    assert isinstance(cells, AlphaLIF)
    np.testing.assert_allclose(cells.tau_mem, [0.012] * 12 + [0.008] * 4)
    np.testing.assert_allclose(cells.r, [6e7] * 12 + [3.2e7] * 4)
    np.testing.assert_allclose(cells.i_offset, [5e-11] * 12 + [0.0] * 4)
    np.testing.assert_allclose(cells.t_refractory, [2e-3] * 12 + [1e-3] * 4)
    np.testing.assert_allclose(net.population("cells").initial["v"], -0.07)
    by_receptor = {p.receptor: p for p in net.projections if p.source == "cells"}
    with h5py.File(tmp_path / "network" / "recurrent.h5") as file:
        group = file["edges/cells_to_cells"]
        for receptor, sign in (("excitatory", 1), ("inhibitory", -1)):
            weights = group["0/syn_weight"][:]
            chosen = np.sign(weights) == sign
            projection = by_receptor[receptor]
            np.testing.assert_array_equal(projection.pattern.pre, group["source_node_id"][:][chosen])
            np.testing.assert_array_equal(projection.pattern.post, group["target_node_id"][:][chosen])
            np.testing.assert_allclose(projection.weight, weights[chosen] * 1e-12)
            assert projection.delay == pytest.approx({1: 1.5e-3, -1: 0.8e-3}[sign])
    drive = next(p for p in net.projections if p.source == "drive")
    assert drive.weight == pytest.approx(7e-10) and drive.delay == pytest.approx(2e-3)
    (clamp,) = net.stimuli
    assert isinstance(clamp, StepCurrent)
    np.testing.assert_array_equal(clamp.units, [12, 13, 14, 15])
    np.testing.assert_allclose(clamp.amplitudes, [4e-10, 0.0])
    # A step of 0.1 ms after the times of the file.
    np.testing.assert_allclose(clamp.times, [0.0501, 0.1101])
    assert circuit.description.settings.clock == pytest.approx(1e-4)
    assert circuit.description.settings.duration == pytest.approx(0.2)
    assert circuit.notes == ()


def test_all_three_configurations_are_one_network(tmp_path: Path) -> None:
    write_network(tmp_path)
    results = [read_circuit(tmp_path / name).simulate() for name in ("circuit_config.json", "config.json")]
    results.append(read_circuit(tmp_path / "simulation_config.json").simulate())
    assert len({result.spikes["cells"].digest() for result in results}) == 1
    assert len(results[0].spikes["cells"].times) > 50


def test_spikes_and_reports_are_sonata_files(tmp_path: Path) -> None:
    circuit = read_circuit(write_network(tmp_path))
    result = circuit.simulate()
    written = circuit.outputs.write(result, tmp_path / "output")
    assert [path.name for path in written] == ["spikes.h5", "membrane.h5"]
    with h5py.File(written[0]) as file:
        times = file["spikes/cells/timestamps"][:]
        nodes = file["spikes/cells/node_ids"][:]
        assert file["spikes/cells/timestamps"].attrs["units"] == b"milliseconds"
    spikes = result.spikes["cells"]
    # A spike is at the end of its step.
    np.testing.assert_allclose(times, spikes.times * 1e3 + 0.1)
    np.testing.assert_array_equal(np.sort(nodes), np.sort(spikes.units))
    with h5py.File(written[1]) as file:
        data = file["report/cells/data"][:]
        np.testing.assert_array_equal(file["report/cells/mapping/node_ids"][:], [1, 5, 14])
        np.testing.assert_allclose(file["report/cells/mapping/time"][:], [0.0, 200.0, 0.1])
    assert data.shape == (2000, 3)
    assert data[0, 0] == pytest.approx(-70.0) and -80 < data.min() < data.max() < -52


def test_a_report_of_two_populations_is_one_file(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    folder.mkdir()
    row = {"node_type_id": 1, "model_type": "point_process", "model_template": "nrn:IntFire1"}
    for name, count in (("a", 3), ("b", 2)):
        write_nodes(folder / f"{name}.h5", name, [1] * count)
        write_table(folder / f"{name}.csv", [row])
    files = [{"nodes_file": f"./network/{name}.h5", "node_types_file": f"./network/{name}.csv"} for name in "ab"]
    tree = {
        "run": {"tstop": 2.0, "dt": 0.1},
        "networks": {"nodes": files, "edges": []},
        "reports": {"all": {"variable_name": "m", "file_name": "out/m.h5"}},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(tree))
    circuit = read_circuit(path)
    written = circuit.outputs.write(circuit.simulate(), tmp_path / "output")
    assert [each.name for each in written] == ["spikes.h5", "m.h5"]
    with h5py.File(written[1]) as file:
        assert {name: file[f"report/{name}/data"].shape for name in file["report"]} == {"a": (20, 3), "b": (20, 2)}
    tree["reports"]["again"] = {"variable_name": "m", "file_name": "other/m.h5", "cells": "b"}
    path.write_text(json.dumps(tree))
    with pytest.raises(NeurosimInputError, match=r"report again: m\.h5 has a report of b already"):
        read_circuit(path)


@pytest.mark.parametrize("place", [10**6, 2**64 - 1])
def test_an_index_beyond_its_group_is_named(tmp_path: Path, place: int) -> None:
    path = write_network(tmp_path)
    with h5py.File(tmp_path / "network" / "recurrent.h5", "r+") as file:
        edges = file["edges/cells_to_cells"]
        index = edges["edge_group_index"][:].astype(np.uint64)
        index[1] = place
        del edges["edge_group_index"]
        edges["edge_group_index"] = index
    with pytest.raises(NeurosimFormatError, match=r"syn_weight: .*edge_group_index"):
        read_circuit(path)


def test_a_spike_of_the_input_arrives_its_delay_after_its_time(tmp_path: Path) -> None:
    drive = {"input_type": "spikes", "module": "h5", "input_file": "./one.h5", "node_set": "drive"}
    report = {"cells": "inhibitory", "variable_name": "V_m"}
    path = write_network(
        tmp_path, inputs={"drive": drive}, reports={"membrane": report}, run={"tstop": 14.0, "dt": 0.1}
    )
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["spikes/timestamps"] = np.array([10.0])
        file["spikes/gids"] = np.array([0], np.uint64)
    with h5py.File(tmp_path / "network" / "input.h5") as file:
        edges = file["edges/drive_to_cells"]
        reached = np.isin(np.arange(12, 16), edges["target_node_id"][:][edges["source_node_id"][:] == 0])
    samples = read_circuit(path).simulate().states["membrane.V_m.cells"]
    assert reached.any() and not reached.all()
    # At rest; the current arrives at 10 + 2 ms, and moves the membrane in the step after.
    np.testing.assert_allclose(samples[:121], -0.07, rtol=1e-12)
    assert (samples[121, reached] > -0.07 + 1e-9).all()
    np.testing.assert_allclose(samples[121:, ~reached], -0.07, rtol=1e-12)


def test_cells_of_two_models_are_two_populations(tmp_path: Path) -> None:
    write_network(tmp_path)
    rows = [
        {"node_type_id": 100, "model_type": "point_neuron", "model_template": "nest:iaf_psc_delta"},
        {"node_type_id": 101, "model_type": "point_process", "model_template": "nrn:IntFire1"},
    ]
    write_table(tmp_path / "network" / "cell_types.csv", rows)
    tree = json.loads((tmp_path / "simulation_config.json").read_text())
    tree["reports"] = {}
    (tmp_path / "simulation_config.json").write_text(json.dumps(tree))
    net = read_circuit(tmp_path / "config.json").description.network
    delta = net.population("cells.iaf_psc_delta")
    fire = net.population("cells.IntFire1")
    assert delta.size == 12 and isinstance(delta.model, LIF) and delta.model.v_threshold == pytest.approx(-0.055)
    assert fire.size == 4 and isinstance(fire.model, LIF)
    assert (fire.model.v_threshold, fire.model.tau_mem, fire.model.t_refractory) == (1.0, 0.01, 0.005)
    ends = {(p.source, p.target) for p in net.projections}
    names = {"cells.iaf_psc_delta", "cells.IntFire1"}
    assert ends == {(a, b) for a in (*names, "drive") for b in names}
    with h5py.File(tmp_path / "network" / "recurrent.h5") as file:
        count = len(file["edges/cells_to_cells/edge_type_id"])
    assert sum(p.pattern.pre.size for p in net.projections if p.source != "drive") == count


def test_signs_numbers_of_synapses_and_own_parameters(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    folder.mkdir()
    (tmp_path / "inh.json").write_text('{"level_of_detail": "instantaneous", "sign": -1}')
    write_nodes(folder / "a.h5", "a", [1, 1, 1], {"dynamics_params/tau": [0.005, 0.006, 0.007]})
    write_table(
        folder / "a.csv", [{"node_type_id": 1, "model_type": "point_process", "model_template": "nrn:IntFire1"}]
    )
    columns = {"syn_weight": [0.1, 0.2], "delay": [1.0, 3.0], "nsyns": [1, 4]}
    write_edges(folder / "e.h5", "aa", ("a", "a"), [0, 1], [1, 2], [7, 7], columns)
    row = {"edge_type_id": 7, "weight_function": "wmax", "dynamics_params": "inh.json", "delay": 9.0}
    row["model_template"] = "exp2syn"
    write_table(folder / "e.csv", [row])
    tree = {
        "components": {"synaptic_models_dir": "./"},
        "run": {"tstop": 5.0, "dt": 0.1},
        "networks": {
            "nodes": [{"nodes_file": "./network/a.h5", "node_types_file": "./network/a.csv"}],
            "edges": [{"edges_file": "./network/e.h5", "edge_types_file": "./network/e.csv"}],
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(tree))
    net = read_circuit(tmp_path / "config.json").description.network
    model = net.population("a").model
    assert isinstance(model, LIF)
    np.testing.assert_allclose(model.tau_mem, [5e-3, 6e-3, 7e-3])
    (projection,) = net.projections
    np.testing.assert_allclose(projection.weight, [-0.1, -0.8])
    np.testing.assert_allclose(projection.delay, [1e-3, 3e-3])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"inputs": {"x": {"input_type": "voltage_clamp"}}},
            NeurosimInputError,
            "input x: voltage_clamp of None is not",
        ),
        ({"reports": {"r": {"variable_name": "Ca"}}}, NeurosimInputError, "report r: iaf_psc_alpha has no variable Ca"),
        (
            {"reports": {"r": {"cells": "nobody"}}},
            NeurosimFormatError,
            "node set nobody is not there; choose from cells",
        ),
        ({"run": {"dt": "fast"}}, NeurosimFormatError, '"dt" must be a number'),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, change: dict, error: type[Exception], message: str) -> None:
    path = write_network(tmp_path, **change)
    with pytest.raises(error, match=message):
        read_circuit(path)


def test_amplitudes_are_in_pa_for_nest_and_in_na_for_others(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    for name in ("circuit_config.json", "simulation_config.json"):
        tree = json.loads((tmp_path / name).read_text())
        tree["target_simulator"] = "NEURON"
        (tmp_path / name).write_text(json.dumps(tree))
    (clamp,) = read_circuit(path).description.network.stimuli
    assert isinstance(clamp, StepCurrent)
    np.testing.assert_allclose(clamp.amplitudes, [4e-7, 0.0])
    rows = [{"node_type_id": n, "model_type": "point_process", "model_template": "nrn:IntFire1"} for n in (100, 101)]
    write_table(tmp_path / "network" / "cell_types.csv", [{**row, "ei": "i"} for row in rows])
    with pytest.raises(NeurosimInputError, match="input clamp: IntFire1 takes no current"):
        read_circuit(path)


def test_weight_functions_are_refused_but_the_weight_itself(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    row = {"edge_type_id": 20, "syn_weight": 700.0, "dynamics_params": "late.json", "weight_function": "gaussianLL"}
    write_table(tmp_path / "network" / "input_types.csv", [row])
    with pytest.raises(NeurosimInputError, match="weight_function gaussianLL is not available"):
        read_circuit(path)


def test_other_models_are_refused_by_name(tmp_path: Path) -> None:
    path = write_network(tmp_path, model="nest:glif_psc")
    with pytest.raises(
        NeurosimInputError, match="model_template nest:glif_psc is not available; choose from iaf_psc_alpha"
    ):
        read_circuit(path)
    rows = [{"node_type_id": n, "model_type": "biophysical", "model_template": "ctdb:Biophys1.hoc"} for n in (100, 101)]
    write_table(tmp_path / "network" / "cell_types.csv", rows)
    with pytest.raises(NeurosimInputError, match="model_type biophysical is not available"):
        read_circuit(path)


def test_components_that_are_elsewhere_are_named_and_can_be_given(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    expected = read_circuit(path).simulate().spikes["cells"].digest()
    (tmp_path / "components").rename(tmp_path / "elsewhere")
    with pytest.raises(NeurosimMissingError, match=r"exc.json: no such file of parameters; give the folder that holds"):
        read_circuit(path)
    circuit = read_circuit(path, components=tmp_path / "elsewhere")
    assert circuit.simulate().spikes["cells"].digest() == expected


def rewrite(path: Path, **changes: object) -> Path:
    """Replace tables of a configuration."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def test_paths_lie_beside_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without a variable or "./" in front, and from any working folder."""
    write_network(tmp_path)
    for name in ("circuit_config.json", "simulation_config.json", "config.json"):
        text = (tmp_path / name).read_text().replace("$NETWORK/", "network/").replace("./drive.h5", "drive.h5")
        (tmp_path / name).write_text(text)
    monkeypatch.chdir("/")
    assert read_circuit(tmp_path / "config.json").description.network.population("cells").size == 16


def test_attributes_of_nodes_come_before_those_of_their_types(tmp_path: Path) -> None:
    """A text in a group of nodes; numbers of synapses of a type of edges; words for no value in any case."""
    path = write_network(tmp_path)
    names = np.array([b"inh.json"] * 3 + [b""] * 13)
    write_nodes(tmp_path / "network" / "cells.h5", "cells", [100] * 12 + [101] * 4, {"dynamics_params": names})
    row = {"edge_type_id": 20, "syn_weight": 700.0, "nsyns": 3, "delay": "NaN", "weight_function": "null"}
    write_table(tmp_path / "network" / "input_types.csv", [row])
    net = read_circuit(path).description.network
    np.testing.assert_allclose(net.population("cells").model.tau_mem, [0.008] * 3 + [0.012] * 9 + [0.008] * 4)  # type: ignore[attr-defined]
    drive = next(p for p in net.projections if p.source == "drive")
    assert drive.weight == pytest.approx(2.1e-9) and drive.delay == pytest.approx(1e-3)


def test_node_sets_of_reports(tmp_path: Path) -> None:
    write_network(tmp_path)
    path = tmp_path / "simulation_config.json"

    def report(cells: object) -> tuple[tuple[int, ...], tuple[str, ...]]:
        entry = {"variable_name": "V_m", "cells": cells, "start_time": 10.0}
        circuit = read_circuit(rewrite(path, reports={"r": entry}, run={"tstop": 9.0, "tstart": 5.0}))
        return tuple(unit for each in circuit.outputs.reports for unit in each.units), circuit.notes

    assert report([3, 1])[0] == (1, 3)
    assert report({"population": "cells", "node_id": [2, 0], "ei": "e"})[0] == (0, 2)
    units, notes = report("drive")
    assert units == () and len(notes) == 3
    assert "tstart: has no effect" in notes[-1] and "start_time and end_time" in notes[0] and "no nodes" in notes[1]
    assert "a node set names depth, an attribute that no node has" in report({"depth": [1]})[1][1]
    # The names of ids of the Brain Modeling Toolkit.
    for name in ("node_ids", "gids", "gid"):
        assert report({"population": "cells", name: [2, 0]})[0] == (0, 2)
    # Comparisons of node sets.
    assert report({"node_id": {"$gte": 3, "$lt": 6}, "population": "cells"})[0] == (3, 4, 5)
    assert report({"node_id": {"$gt": 3, "$lte": 6}, "ei": {"$regex": "[ei]"}})[0] == (4, 5, 6)
    assert report({"ei": {"$regex": "i"}})[0] == report({"ei": "i"})[0] == (12, 13, 14, 15)
    for conditions, words in (
        ({"ei": {"$lt": 3}}, "must be a number (got e)"),
        ({"node_id": {"$lt": "x"}}, "node set: node_id: $lt must have a number (got 'x')"),
        ({"node_id": {"$eq": 3}}, "node set: node_id: $eq is not available; choose from $gt, $gte, $lt, $lte, $regex"),
        ({"ei": {"$regex": "("}}, "node set: ei: $regex must be a pattern of text"),
    ):
        with pytest.raises(NeurosimFormatError, match=re.escape(words)):
            report(conditions)
    with pytest.raises(NeurosimFormatError, match="must be a name, a list or a table of conditions"):
        report(5)
    for key in ("inputs", "reports"):
        with pytest.raises(NeurosimFormatError, match=f'"{key}" must hold a table of tables'):
            read_circuit(rewrite(path, **{"inputs": {}, "reports": {}, key: [1]}))


def test_node_sets_find_listed_texts_and_numbers_in_any_form(tmp_path: Path) -> None:
    """BlueBrain's files number texts and list them; a table has 4.0 where a column of integers had a gap."""
    write_network(tmp_path)
    places = np.array([0, 1] * 8, np.uint32)
    columns = {"mtype": places, "layer": np.array([4, 5] * 8, np.int8), "@library/mtype": np.array([b"L4", b"L5"])}
    write_nodes(tmp_path / "network" / "cells.h5", "cells", [100] * 12 + [101] * 4, columns)
    with (tmp_path / "network" / "cell_types.csv").open() as file:
        head, *rows = file.read().splitlines()
    table = [f"{head} depth", f"{rows[0]} 4.0", f"{rows[1]} NULL"]
    (tmp_path / "network" / "cell_types.csv").write_text("\n".join(table))

    def chosen(cells: object) -> list[int]:
        circuit = read_circuit(rewrite(tmp_path / "simulation_config.json", reports={"r": {"cells": cells}}))
        return [unit for each in circuit.outputs.reports for unit in each.units]

    assert chosen({"mtype": "L5"}) == chosen({"layer": 5}) == chosen({"layer": ["5"]}) == list(range(1, 16, 2))
    assert chosen({"depth": 4}) == list(range(12))
    # Half of the nodes have a layer of their own, the others that of their type.
    columns["layer"] = np.array([4.0, np.nan] * 8)
    write_nodes(tmp_path / "network" / "cells.h5", "cells", [100] * 12 + [101] * 4, columns)
    (tmp_path / "network" / "cell_types.csv").write_text("\n".join(table).replace("depth", "layer"))
    assert chosen({"layer": {"$gte": 4}}) == chosen({"layer": 4}) == [*range(12), 12, 14]
    columns["mtype"] = places + 1
    write_nodes(tmp_path / "network" / "cells.h5", "cells", [100] * 12 + [101] * 4, columns)
    with pytest.raises(NeurosimFormatError, match="places in the 2 texts of /nodes/cells/0/@library/mtype"):
        chosen("cells")


def test_inputs_that_play_nothing_say_so(tmp_path: Path) -> None:
    write_network(tmp_path)
    path = tmp_path / "simulation_config.json"
    spikes = {"input_type": "spikes", "module": "h5", "input_file": "./drive.h5"}

    def notes(**change: object) -> str:
        return " ".join(read_circuit(rewrite(path, inputs={"drive": {**spikes, **change}})).notes)

    assert "its node set has no virtual nodes, and it plays nothing" in notes(node_set="cells")
    clamp = {"input_type": "current_clamp", "amp": 1.0, "node_set": "drive"}
    (note, _) = read_circuit(rewrite(path, inputs={"clamp": clamp})).notes
    assert "input clamp: its node set has no nodes with a model" in note
    twice = read_circuit(rewrite(path, inputs={"one": spikes, "two": spikes})).description.inputs["drive"]
    once = read_circuit(rewrite(path, inputs={"one": spikes})).description.inputs["drive"]
    np.testing.assert_array_equal(twice.times, np.repeat(once.times, 2))
    write_spikes(tmp_path / "more.h5", "drive", [1.0, 2.0, 3.0], [0, 6, 106])
    assert "2 spikes are of nodes that drive does not have" in notes(input_file="./more.h5")
    (tmp_path / "spikes.csv").write_text("population timestamps node_ids\nother 1.0 0\n")
    with pytest.raises(NeurosimFormatError, match="has no spikes of population drive, but of other"):
        notes(module="csv", input_file="./spikes.csv")
    # A population of another name, whose type the configuration gives.
    write_nodes(tmp_path / "network" / "second.h5", "second", [0] * 3)
    circuit = json.loads((tmp_path / "circuit_config.json").read_text())
    nodes = circuit["networks"]["nodes"]
    nodes.append({"nodes_file": "./network/second.h5", "populations": {"second": {"type": "virtual"}}})
    rewrite(tmp_path / "circuit_config.json", networks=circuit["networks"])
    assert "has no spikes of second" in notes()
    (tmp_path / "spikes.csv").write_text("timestamps node_ids\n1.0 0\n")
    with pytest.raises(NeurosimInputError, match="name no population, and may be of several"):
        notes(module="csv", input_file="./spikes.csv")
    with pytest.raises(NeurosimInputError, match="connection_overrides are not available"):
        read_circuit(rewrite(path, connection_overrides=[{"name": "half", "weight": 0.5}]))


def test_cells_start_as_in_nest_and_say_which_steps_they_need(tmp_path: Path) -> None:
    path = write_network(tmp_path, model="nest:izhikevich")
    cells = tmp_path / "components" / "cells"
    (cells / "exc.json").write_text("{}")
    (cells / "inh.json").write_text('{"b": 0.3, "U_m": -9.0, "V_m": -70.0}')
    initial = read_circuit(path).description.network.population("cells").initial
    np.testing.assert_allclose(initial["v"], [-0.065] * 12 + [-0.07] * 4)
    np.testing.assert_allclose(initial["u"], [-13.0] * 12 + [-9.0] * 4)
    (cells / "inh.json").write_text("{}")
    types = (tmp_path / "network" / "cell_types.csv").read_text().replace("izhikevich", "hh_cond_exp_traub")
    (tmp_path / "network" / "cell_types.csv").write_text(types)
    assert "hh_cond_exp_traub needs run.dt of at most 0.05 ms (got 0.1)" in " ".join(read_circuit(path).notes)
    rewrite(tmp_path / "simulation_config.json", run={"tstop": 10.0, "dt": 0.05})
    assert read_circuit(path).notes == ()


def test_weights_under_another_name_are_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    write_table(tmp_path / "network" / "input_types.csv", [{"edge_type_id": 20, "weight": 700.0}])
    with pytest.raises(NeurosimInputError, match="weight is not available; call the weights syn_weight"):
        read_circuit(path)
    columns = {"weight_function": np.array([b"wmax"] * 2), "syn_weight": [1.0, 2.0]}
    write_edges(
        tmp_path / "network" / "input.h5", "drive_to_cells", ("drive", "cells"), [0, 1], [1, 2], [20] * 2, columns
    )
    with pytest.raises(NeurosimInputError, match="weight_function of an edge is not available; give it to the types"):
        read_circuit(path)
    columns = {"dynamics_params/weight": [1.0, 2.0]}
    write_edges(
        tmp_path / "network" / "input.h5", "drive_to_cells", ("drive", "cells"), [0, 1], [1, 2], [20] * 2, columns
    )
    with pytest.raises(NeurosimInputError, match="dynamics_params/weight of an edge is not available"):
        read_circuit(path)


@pytest.mark.data
@pytest.mark.peer
@pytest.mark.slow
def test_published_point_neurons_fire_as_in_nest(data_root: Path) -> None:
    if not COMPONENTS.is_dir():
        pytest.skip("no .venv-peers: run `make peers`; NEST brings the parameters of the cells")
    path = data_root / "sonata" / "300_pointneurons" / "circuit_config.json"
    circuit = read_circuit(path, components=COMPONENTS)
    times, nodes = circuit.outputs.spikes(circuit.simulate())["internal"]
    # The spikes of NEST 3.10, as its SonataNetwork reads the network: number and SHA-256 of steps and nodes.
    assert len(times) == 18828
    steps = np.rint(times * 100).astype("<i8")
    digest = hashlib.sha256(steps.tobytes() + nodes.astype("<i8").tobytes()).hexdigest()
    assert digest == "c4db0b7e1ab595d2f3c61912141fdc18f66365daf0ae8b31f0a0ec81f285c9cf"
