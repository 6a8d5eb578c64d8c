"""Classes that hold addresses: all are listed here, and a copy of one is independent, or refused by name."""

from __future__ import annotations

import ast
import copy
import gc
import importlib
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.networks import facts, recording, small
from helpers.windowed import clip, windowed

import neurosim
from neurosim import LIF, STDP, FixedProbability, Network, Population, Probe, Projection, Simulation, SpikeSource
from neurosim.base import NeurosimInputError
from neurosim.base.errors import Uncopied
from neurosim.engine.compile.network import compile_network

PACKAGE = Path(neurosim.__file__).parent
# Functions and methods that give an address, or make an object over memory that is not its own.
CALLS = {"address", "addresses", "addressof", "data_ptr", "get_function_pointer", "memmap"}
WORDS = re.compile(r"address|ctypes|data_ptr|get_function_pointer|memmap|mmap")

# Classes that hold addresses of memory from call to call: they derive from `Uncopied`.
HOLDERS = {
    "language/conversion/decoder/decoder.py": {"Decoder"},
    "language/conversion/decoder/program.py": {"DecoderProgram"},
    "engine/exact/workspace.py": {"ExactWorkspace"},
    "engine/grid/arrival_arrays.py": {"ArrivalArrays"},
    "engine/grid/plastic_state.py": {"PlasticState"},
    "engine/grid/silence.py": {"Silence"},
    "engine/grid/team.py": {"ThreadTeam"},
    "engine/grid/thread_room.py": {"ThreadRoom"},
    "engine/grid/workspace.py": {"GridWorkspace"},
}
# Places that take addresses and hold none of them that a copy could misuse, and why.
IN_PROGRAM = "part of a DecoderProgram, which is not copied"
IN_WORKSPACE = "goes into the tables of a GridWorkspace, which is not copied"
FUNCTION = "of a compiled function, the same for the life of the process; in a CompiledNetwork, which is not copied"
WITHIN = "is used within the call"
ELSEWHERE: Mapping[str, Mapping[str, str]] = {
    "language/attention/gguf/blocks.py": {"BlockTensor": "a view of a file that is only read, which copies share"},
    "language/attention/gguf/file.py": {"_read_one": "maps a file that is only read"},
    "language/attention/tensors.py": {
        "MappedFiles": "files that are only read, which copies share; they cannot be pickled"
    },
    "language/conversion/decoder/encoding.py": {"encoded": IN_PROGRAM},
    "language/conversion/decoder/joined_rows.py": dict.fromkeys(("_parts", "integers"), IN_PROGRAM),
    "language/conversion/decoder/split_rows.py": {"split_linear": IN_PROGRAM},
    "language/conversion/decoder/memory.py": {
        **dict.fromkeys(("Buffer", "Growing", "Touched", "Weights"), IN_PROGRAM),
        **dict.fromkeys(("_pages", "aligned"), WITHIN),
    },
    "language/conversion/decoder/program.py": {"Encoded": IN_PROGRAM},
    "language/conversion/linear.py": {"SpikedLinear": "the key of floats, computed again where the address differs"},
    "engine/addresses.py": {"address": WITHIN},
    "engine/compile/callbacks.py": {
        "exact_callbacks": FUNCTION,
        "quiet_callback": FUNCTION,
        "step_by_unit": FUNCTION,
        "step_callback": FUNCTION,
    },
    "engine/compile/group_words.py": {"write_groups": WITHIN},
    "engine/compile/row_tables.py": {"RowTableBuilder": "goes into a RowTable, which is not copied", "aligned": WITHIN},
    "engine/exact/runner.py": {"_probe_table": "goes into the tables of an ExactWorkspace, which is not copied"},
    "engine/grid/population_inputs.py": dict.fromkeys(
        ("_from_currents", "_from_drives", "_from_noises", "_from_rows"), IN_WORKSPACE
    ),
    "engine/grid/probes.py": {"open_window": IN_WORKSPACE},
    "engine/grid/records.py": {"_record": IN_WORKSPACE},
    "engine/grid/tables.py": dict.fromkeys(
        (
            "_fill_bundle",
            "_fill_joint",
            "_fill_poisson",
            "_reader",
            "post_table",
            "row_table",
            "scheduler",
            "set_steppers",
        ),
        IN_WORKSPACE,
    ),
    "engine/processes.py": {"Processes": IN_WORKSPACE},
    "app/runs/frame/ahead.py": dict.fromkeys(("_delivering", "_stepping"), "compiles, and forgets the address"),
    "language/conversion/balance.py": {"_Groups": "compares addresses of inputs that exist, and reads none"},
    "data/files/camera_hdf5.py": {"is_camera_file": WITHIN},
    "data/files/hdf5.py": {"open_hdf5": "maps a file that is only read"},
}


def takers(source: str) -> set[str]:
    """Return the outermost class or function of every place in a module that takes an address."""
    if not WORDS.search(source):  # reading all trees would take seconds
        return set()
    return {
        getattr(outer, "name", "module")
        for outer in ast.parse(source).body
        for node in ast.walk(outer)
        if _takes_address(node)
    }


def _takes_address(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            name = node.func.attr
        else:
            name = getattr(node.func, "id", "")
        return name in CALLS or name.startswith("address_of") or ast.unparse(node.func) == "mmap.mmap"
    if not isinstance(node, ast.Attribute):
        return False
    return node.attr == "address" or (node.attr == "data" and ast.unparse(node.value).endswith(".ctypes"))


def unlisted(module: str, source: str) -> set[str]:
    """Return the takers of a module that this file does not list."""
    return takers(source) - HOLDERS.get(module, set()) - ELSEWHERE.get(module, {}).keys()


def test_every_class_that_takes_addresses_is_listed() -> None:
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
    missing = {module: names for module, source in sources.items() if (names := unlisted(module, source))}
    assert not missing, f"list them in {Path(__file__).name}, and let those that hold addresses derive from Uncopied"
    for module, names in [*HOLDERS.items(), *ELSEWHERE.items()]:
        assert set(names) <= takers(sources[module]), f"{module}: listed without need"


def test_holders_are_not_copied() -> None:
    for module, names in HOLDERS.items():
        found = importlib.import_module("neurosim." + module.removesuffix(".py").replace("/", "."))
        assert all(issubclass(getattr(found, name), Uncopied) for name in names), module


@pytest.mark.parametrize(
    "line",
    [
        "self.at = self.array.ctypes.data",
        "self.at = address(array)",
        "self.at = tensor.data_ptr()",
        "self.at = kernel.address_of_exchange()",
        "self.at = compiled.address",
        "self.pages = mmap.mmap(-1, 10)",
    ],
)
def test_a_new_class_that_takes_an_address_is_seen(line: str) -> None:
    source = f"class Known:\n    pass\nclass New:\n    def __init__(self, array):\n        {line}\n"
    assert unlisted("engine/grid/workspace.py", source) == {"New"}
    assert unlisted("engine/new.py", source) == {"New"}


COPIES: Mapping[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
}
INDEPENDENT = ["copy", "deepcopy"]


def learning() -> Simulation:
    network = Network(
        [Population("in", 20, SpikeSource()), Population("out", 10, LIF(tau_mem=0.02))],
        [Projection("in", "out", FixedProbability(0.5), 0.3, 0.002, plasticity=STDP(w_max=0.6))],
    )
    return Simulation(network, recording(), seed=1)


SIMULATIONS: Mapping[str, Callable[[], Simulation]] = {
    "noise, probes": lambda: Simulation(
        small(True), recording(), seed=3, trial=5, probes=[Probe("exc", "v", 0.007)], count_updates=True
    ),
    "learning rule": learning,
    "windowed populations": lambda: Simulation(windowed(), clip(1), seed=2),
}


@pytest.mark.parametrize("how", INDEPENDENT)
@pytest.mark.parametrize("name", SIMULATIONS)
def test_copies_of_a_simulation_have_its_future_and_leave_it_alone(name: str, how: str) -> None:
    whole = SIMULATIONS[name]()
    simulation = SIMULATIONS[name]()
    for each in (whole, simulation):
        each.run(0.0567)
    copied = COPIES[how](simulation)
    ahead = facts(copied.run(0.07))
    again = COPIES[how](copied)
    assert facts(whole.run(0.07)) == ahead == facts(simulation.run(0.07))
    end = facts(whole.run(0.05))
    del copied, simulation
    gc.collect()
    assert facts(again.run(0.05)) == end


def test_a_branch_takes_changes_of_its_own() -> None:
    simulation = SIMULATIONS["noise, probes"]()
    simulation.run(0.05)
    branch = simulation.branch()
    expected = simulation.branch()
    branch.set("exc", {"tau_mem": 0.005})
    branch.set("exc->inh", {"weight": 0.9})
    changed = facts(branch.branch().run(0.1))
    assert changed == facts(branch.run(0.1))
    assert facts(simulation.run(0.1)) == facts(expected.run(0.1)) != changed


def test_a_branch_has_the_spikes_from_before_an_interrupt() -> None:
    simulation = SIMULATIONS["windowed populations"]()

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulation.run(0.15, progress=stop)
    assert simulation.step > 0
    branch = simulation.branch()
    left = 0.15 - simulation.time
    mine = simulation.run(left)
    others = branch.run(left)
    assert facts(mine) == facts(others)
    assert all(np.array_equal(mine.readings[key], others.readings[key]) for key in mine.readings)


def test_a_branch_of_streams_keeps_its_own_spikes(tmp_path: Path) -> None:
    with Simulation(small(True), recording(), seed=3, spikes_to=tmp_path / "spikes.h5") as simulation:
        simulation.run(0.1)
        branch = simulation.branch()
        assert len(branch.run(0.1).spikes["exc"]) > 0
        simulation.run(0.1)
        branch.close()
    everything = neurosim.data.read_sonata(tmp_path / "spikes.h5", "exc")
    reference = Simulation(small(True), recording(), seed=3).run(0.2).spikes["exc"]
    assert everything.digest() == reference.digest()


def test_a_simulation_that_cannot_branch_says_what_to_do() -> None:
    simulation = Simulation(small(), iter([recording()]), seed=3)
    with pytest.raises(
        NeurosimInputError, match=r"branch: the input of 'input' is an iterable .*; use save, then load"
    ):
        copy.deepcopy(simulation)
    with pytest.raises(NeurosimInputError, match=r"Simulation: cannot be copied or pickled, .*; use branch, or save"):
        pickle.dumps(simulation)


@pytest.mark.parametrize("how", COPIES)
def test_a_compiled_network_is_not_copied(how: str) -> None:
    compiled = compile_network(small(), 1e-3, 0, np.dtype(np.float32), 1)
    with pytest.raises(NeurosimInputError, match="CompiledNetwork: cannot be copied or pickled"):
        COPIES[how](compiled)


@pytest.mark.parametrize("how", COPIES)
def test_a_decoder_is_not_copied(how: str) -> None:
    torch = pytest.importorskip("torch")
    from neurosim.language import Decoder, LanguageConfig, LanguageModel, MixerSpec

    torch.manual_seed(0)
    spec = MixerSpec("gla", {"num_heads": 2})
    decoder = Decoder(LanguageModel(LanguageConfig((spec,), width=32, hidden=80), 1).eval())
    first = decoder.step([3]).copy()
    with pytest.raises(
        NeurosimInputError, match=r"Decoder: cannot be copied or pickled, .*; make another, Decoder\(mo"
    ):
        COPIES[how](decoder)
    decoder.reset()
    assert np.array_equal(decoder.step([3]), first)


def test_a_deep_copy_of_an_executed_model_from_a_file_is_independent(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from neurosim.language import Coding, LanguageConfig, LanguageModel, MixerSpec, convert, read_model, write_model

    tokens = torch.randint(256, (64,), generator=torch.Generator().manual_seed(5))
    model = LanguageModel(LanguageConfig((MixerSpec("gla", {"num_heads": 2}),), width=32, hidden=80), 1).eval()
    write_model(tmp_path / "model", model)
    spiking = convert(read_model(tmp_path / "model"), Coding("ternary"), tokens, windows=2, length=16).execute().model
    with torch.no_grad():
        logits = spiking.step(tokens[:1], None)[0]
        copied = copy.deepcopy(spiking)
        for parameter in spiking.parameters():
            parameter.fill_(0.0)
        del spiking
        gc.collect()
        assert torch.equal(copied.step(tokens[:1], None)[0], logits)
