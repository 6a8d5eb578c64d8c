"""The same spikes, states and weights as Brian2 from the same text: units, subexpressions, conditions, time, timed
arrays, methods and synapses, in float64. `benchmarks/peers/run_brian2_equations.py` runs the models there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pytest
from helpers.peers import PEERS_PYTHON, call

from neurosim import FromList, Network, Population, Probe, Projection, Spikes, SpikeSource, simulate
from neurosim.network import equations
from neurosim.network.neurons.timed import TimedArray
from neurosim.network.plasticity.equations import synapse_equations

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not PEERS_PYTHON.exists(), reason="no .venv-peers: run `make peers`"),
]
SIZE = 12
CHANNELS = """
dv/dt = (gl*(El-v) + ge*(0*mV-v) - g_na*(m*m*m)*h*(v-50*mV) - g_kd*(n*n*n*n)*(v+90*mV))/(200*pF) : volt
dm/dt = alpha_m*(1-m)-beta_m*m : 1
dn/dt = alpha_n*(1-n)-beta_n*n : 1
dh/dt = alpha_h*(1-h)-beta_h*h : 1
dge/dt = -ge*(1./(5*ms)) : siemens
VT = -63*mV : volt
alpha_m = 0.32*(mV**-1)*4*mV/exprel((13*mV-v+VT)/(4*mV))/ms : Hz
beta_m = 0.28*(mV**-1)*5*mV/exprel((v-VT-40*mV)/(5*mV))/ms : Hz
alpha_h = 0.128*exp((17*mV-v+VT)/(18*mV))/ms : Hz
beta_h = 4./(1+exp((40*mV-v+VT)/(5*mV)))/ms : Hz
alpha_n = 0.032*(mV**-1)*5*mV/exprel((15*mV-v+VT)/(5*mV))/ms : Hz
beta_n = .5*exp((10*mV-v+VT)/(40*mV))/ms : Hz
"""
COBA = {"gl": (1e-8, "siemens"), "El": (-0.06, "volt"), "g_na": (2e-5, "siemens"), "g_kd": (6e-6, "siemens")}


@dataclass
class Case:
    """A model in text, and how it is driven: each unit by spikes of its own."""

    text: str
    threshold: str
    target: str
    weight: float
    method: str
    reset: str = ""
    refractory: str = ""
    weight_unit: str = "1"
    parameters: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    timed: dict[str, tuple[list[float] | list[list[float]], float, str]] = field(default_factory=dict)
    initial: dict[str, list[float]] = field(default_factory=dict)
    rate: float = 0.02
    delay: int = 5
    dt: float = 1e-4
    steps: int = 1500
    size: int = SIZE
    states: list[str] = field(default_factory=list)
    input: tuple[list[int], list[int]] = ((), ())  # type: ignore[assignment]
    synapses: dict[str, object] | None = None

    def __post_init__(self) -> None:
        spiked = np.random.default_rng(5).random((self.steps, self.size)) < self.rate
        steps, units = np.nonzero(spiked)
        self.input = steps.tolist(), units.tolist()
        self.initial = {name: np.asarray(values, float).tolist() for name, values in self.initial.items()}


def channels(**more: object) -> Case:
    values = {name: value for name, (value, _) in COBA.items()}
    units = {name: unit for name, (_, unit) in COBA.items()}
    if "refractory" not in more:
        values["t_refractory"] = 3e-3
        units["t_refractory"] = "second"
    return Case(
        CHANNELS,
        "v > -20*mV",
        "ge",
        3e-8,
        weight_unit="siemens",
        parameters=values,
        units=units,
        initial={"v": np.linspace(-0.07, -0.055, SIZE), "h": np.ones(SIZE)},  # type: ignore[dict-item]
        states=["v", "m", "ge"],
        **more,  # type: ignore[arg-type]
    )


STIMULUS = np.random.default_rng(1).uniform(0.0, 2.5, (30, SIZE)).tolist()
CASES = {
    "exponential_euler": channels(method="exponential_euler"),
    "refractory while": channels(method="exponential_euler", refractory="v > -40*mV"),
    "euler": Case(
        """
        dv/dt = (-v + drive + g + 0.5*int(t > 50*ms and not (v > 0.8 or t >= 100*ms)))/tau : 1
        drive = stimulus(t - 2*ms, i) + 0.3*sin(2*pi*t/tau) + clip(slow(t), 0, 0.2) : 1
        dg/dt = -g/(5*ms) : 1
        dvt/dt = (1 - vt)/(15*ms) : 1
        """,
        "v > vt and t > 5*ms",
        "g",
        0.2,
        "euler",
        reset="v = 0.1*(i % 3); vt += 0.2; g *= 0.5",
        parameters={"tau": 0.01},
        units={"tau": "second"},
        timed={"stimulus": (STIMULUS, 5e-3, "1"), "slow": ([-0.5, 0.1, 0.6], 0.04, "1")},
        initial={"vt": [1.0] * SIZE},
        states=["v", "g", "vt"],
    ),
    "exact": Case(
        """
        dv/dt = (v0 - v + g)/tau : volt
        v0 = 9*mV + i*0.4*mV : volt
        dg/dt = -g/(4*ms) : volt
        """,
        "v > 10*mV",
        "g",
        2e-3,
        "exact",
        reset="v = 0*mV",
        weight_unit="volt",
        parameters={"tau": 0.01},
        units={"tau": "second"},
        states=["v", "g"],
    ),
    "rk2": Case(
        "dv/dt = (v*(v - 0.5) + g*ceil(v) + 0.1*abs(sin(v)) + 0.4)/tau : 1\ndg/dt = -g/(5*ms) : 1",
        "v > 1.8",
        "g",
        0.3,
        "rk2",
        reset="v = -0.5*sign(v)",
        parameters={"tau": 0.01},
        units={"tau": "second"},
        states=["v", "g"],
    ),
    "words": Case(
        """
        dv/dt = (drive - v + g + 0.4*int(timestep(t, dt) % 50 == 0))/tau : 1
        drive = 1.5*exp(-v**2) + 0.1*arctan(v) + log10(v**2 + 2)**n : 1 (constant over dt)
        dx/dt = (log1p(x*x) + expm1(-x) - x + 2*arcsin(a) + arccos(a) + v//0.3 + e/2)/tau : 1
        a = 0.9*sin(3*v) : 1
        dg/dt = -g/(5*ms) : 1
        vt : 1
        """,
        "v > 1 + vt",
        "g",
        0.3,
        "rk4",
        reset="v = 0; vt += 0.01",
        parameters={"tau": 0.01, "n": 2.5},
        units={"tau": "second", "n": "1"},
        states=["v", "x", "vt"],
    ),
    "volts and amperes": Case(
        """
        dv/dt = (g + 12*pA - gm*v*area)/(cm_*area) : volt
        dg/dt = -g/(5*ms) : amp
        area = 20000*um**2 : meter**2
        gm = 0.05*msiemens*cm**-2 : siemens/meter**2
        cm_ = 1*ufarad*cm**-2 : farad*meter**-2
        """,
        "v > 1.3*mV",
        "g",
        2e-10,
        "exact",
        reset="v = 0*mV",
        weight_unit="amp",
        states=["v", "g"],
    ),
    "rk4": Case(
        """
        dx/dt = (y - x**3 + 3*x**2 + 2 + g - z)/time_unit : 1
        dy/dt = (1 - 5*x**2 - y)/time_unit : 1
        dz/dt = 0.001*(4*(x + 1.6) - z)/time_unit : 1
        dg/dt = -g/time_unit : 1
        """,
        "x >= 1.0",
        "g",
        0.2,
        "rk4",
        refractory="x > 0.9",
        parameters={"time_unit": 1e-3},
        units={"time_unit": "second"},
        initial={"x": np.linspace(-1.6, 0, SIZE)},  # type: ignore[dict-item]
        states=["x", "y", "g"],
    ),
}


RNG = np.random.default_rng(3)
MANY = 60
# In the order of their rows, by source.
PRE, POST = np.divmod(np.sort(RNG.choice(SIZE * SIZE, MANY, replace=False)), SIZE)
JOINED: dict[str, list[Any]] = {
    "pre": PRE.tolist(),
    "post": POST.tolist(),
    "weights": RNG.uniform(0.2, 0.8, MANY).tolist(),
    "delays": RNG.integers(2, 9, MANY).tolist(),
}
FILTERED = """
dv/dt = (g - v)/(10*ms) : 1
dlow/dt = (v - low)/(20*ms) : 1
dg/dt = -g/(5*ms) : 1
"""
PLASTIC = {"threshold": "v > 0.6", "target": "g", "weight": 1.0, "method": "exact", "reset": "v = 0", "rate": 0.01}
# Of each model of synapses its text, and what spikes do, with `input` for the receptor.
SYNAPSES: dict[str, dict[str, object]] = {
    "voltage": {
        "text": "dx/dt = -x/tau : 1 (event-driven)\nabove = low_post - 0.1 : 1",
        "on_pre": {"learn": "w = clip(w - 0.1*low_post*int(above > 0), 0, 1)\nx += 1", "deliver": "input += w"},
        "on_post": "w = clip(w + high*x*above*int(above > 0), 0, 1)",
        "parameters": {"tau": 0.015, "high": 0.3},
        "units": {"tau": "second"},
    },
    "resources": {
        "text": """
            dx/dt = z/(80*ms) : 1 (event-driven)
            dy/dt = -y/(3*ms) : 1 (event-driven)
            z = 1 - x - y : 1
            dw/dt = -w/(2*second) : 1 (event-driven)
        """,
        "on_pre": {"pre": "input += 3*w*0.4*x\ny += 0.4*x\nx -= 0.4*x"},
        "initial": {"x": 1.0},
    },
    "clock": {
        "text": """
            ds/dt = -s/(30*ms) + 500*Hz*x*(1 - s) : 1 (clock-driven)
            dx/dt = -x/(2*ms) : 1 (clock-driven)
            input = 0.8*w*s : 1 (summed)
        """,
        "on_pre": {"pre": "x += 1"},
        "method": "euler",
    },
}


def plastic(name: str) -> Case:
    given = SYNAPSES[name]
    defaults = {"on_post": "", "parameters": {}, "units": {}, "initial": {}, "method": "exact"}
    made = Case(FILTERED, states=["v", "low"], synapses={**defaults, **JOINED, **given}, **PLASTIC)  # type: ignore[arg-type]
    if name == "clock":
        made.text = FILTERED.replace("dg/dt = -g/(5*ms) : 1", "g : 1")
    return made


CASES |= {name: plastic(name) for name in SYNAPSES}


def for_brian2(case: Case) -> dict[str, object]:
    """Return a model as Brian2 reads it: `input` is a variable of the target, `w` is declared."""
    described = asdict(case)
    if case.synapses is not None:
        target = f"{case.target}_post"
        given = json.loads(json.dumps(case.synapses).replace("input", target))
        if "dw/dt" not in given["text"]:
            given["text"] += "\nw : 1"
        described["synapses"] = given
    return described


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Spikes and states of all models in Brian2, by name of model and value."""
    folder = tmp_path_factory.mktemp("equations")
    text = json.dumps({name: for_brian2(case) for name, case in CASES.items()})
    (folder / "in.json").write_text(text)
    script = "peers/run_brian2_equations.py"
    call([str(PEERS_PYTHON), script, str(folder / "in.json"), str(folder / "out.npz")])
    with np.load(folder / "out.npz") as file:
        return dict(file)


def drawn(case: Case) -> tuple[Network, Spikes]:
    """Return the network of a case, and what its input plays."""
    Model = equations(
        case.text.replace("\ng : 1", "\ng : 1 (input)"),
        threshold=case.threshold,
        reset=case.reset,
        refractory=case.refractory,
        parameters=case.parameters,
        units={**{key: unit for key, (*_, unit) in case.timed.items()}, **case.units},
        receptors={"input": case.target},
        timed={key: TimedArray(values, interval) for key, (values, interval, _) in case.timed.items()},
        method=None if case.method == "exact" else case.method,
    )
    cells = Population("cells", case.size, Model(), {key: np.array(each) for key, each in case.initial.items()})
    every = np.arange(case.size)
    feed = Projection("input", "cells", FromList(every, every), case.weight, case.delay * case.dt, name="input")
    if case.synapses is not None:
        feed = joined(case)
    steps, units = case.input
    played = Spikes.sort((np.array(steps) + 0.5) * case.dt, np.array(units), case.size, case.steps * case.dt)
    return Network([cells, Population("input", case.size, SpikeSource())], [feed]), played


def joined(case: Case) -> Projection:
    """Return the synapses of a case."""
    given: Any = case.synapses
    Synapse = synapse_equations(
        given["text"],
        on_pre="\n".join(given["on_pre"].values()),
        on_post=given["on_post"],
        parameters=given["parameters"],
        units=given["units"],
        initial=given["initial"],
        method=None if given["method"] == "exact" else given["method"],
    )
    pattern = FromList(np.array(given["pre"]), np.array(given["post"]))
    delays = np.array(given["delays"]) * case.dt
    return Projection("input", "cells", pattern, np.array(given["weights"]), delays, name="input", plasticity=Synapse())


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_same_spikes_and_states_as_brian2(name: str, theirs: dict[str, np.ndarray]) -> None:
    case = CASES[name]
    network, played = drawn(case)
    probes = [Probe("cells", state, case.dt) for state in case.states]
    result = simulate(network, played, clock=case.dt, precision="float64", probes=probes)
    order = np.lexsort((theirs[f"{name}.units"], theirs[f"{name}.steps"]))
    spikes = result.spikes["cells"]
    assert len(spikes) > 20
    np.testing.assert_array_equal(np.rint(spikes.times / case.dt), theirs[f"{name}.steps"][order])
    np.testing.assert_array_equal(spikes.units, theirs[f"{name}.units"][order])
    for state in case.states:
        right = theirs[f"{name}.{state}"]
        found = np.asarray(result.states[f"cells.{state}"])[: len(right)]
        np.testing.assert_allclose(found, right, rtol=0, atol=1e-9 * np.abs(right).max())
    if case.synapses is not None:
        right = theirs[f"{name}.weights"]
        assert np.abs(right - JOINED["weights"]).max() > 0.05 or name == "clock"
        np.testing.assert_allclose(result.weights["input"], right, rtol=0, atol=1e-7)
