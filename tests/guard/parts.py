"""Parts of random networks: stimuli, patterns and rules; each adds the names of its features to a set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from guard.kinds import Kind
from guard.written import WrittenPairs
from neurosim import STDP, AllToAll, FixedNumberPre, FixedProbability, FromList, OneToOne, PoissonInput, Population
from neurosim.network import NoiseCurrent, RewardSTDP, ShortTermPlasticity, StepCurrent, SynapticScaling
from neurosim.network.plasticity.base import LearningRule
from neurosim.network.plasticity.hebbian import Hebbian
from neurosim.network.plasticity.homeostasis import Homeostasis, WeightNormalisation
from neurosim.network.plasticity.timing import TripletSTDP
from neurosim.network.stimuli import Current, GapJunctions, SineCurrent
from neurosim.network.synapses.base import Pattern
from neurosim.network.synapses.parts import BetweenParts
from neurosim.network.synapses.patterns import FixedNumberPost, FixedTotalNumber

Generator = np.random.Generator
# Units of a population from which on it gets the densest rows, and few synapses from others of its size.
MANY = 100


def chance(rng: Generator, p: float) -> bool:
    return bool(rng.random() < p)


@dataclass
class Made:
    """A population of neurons, its kind, and its features."""

    population: Population
    kind: Kind
    features: set[str]


def draw_stimuli(rng: Generator, made: Made, duration: float, dt: float) -> list[PoissonInput | Current]:
    """Return stimuli of one population; their features join those of the population."""
    name = made.population.name
    size = made.population.size
    kind = made.kind
    stimuli: list[PoissonInput | Current] = []
    for feature in ("PoissonInput", "PoissonInput rates"):
        if chance(rng, 0.25):
            made.features.add(feature)
            row = int(rng.integers(len(kind.weights)))
            if row > 0:
                made.features.add("second receptor")
            receptor, weight = list(kind.weights.items())[row]
            rate = rng.uniform(50.0, 400.0)
            times = None
            if feature == "PoissonInput rates":
                rate = rng.uniform(0, 400, (2, size))
                times = np.array([0.0, rng.uniform(0.2, 0.7) * duration])
            weight *= rng.uniform(0.2, 0.6)
            stimuli.append(PoissonInput(name, rate, weight, receptor, name=f"{feature} {name}", times=times))
    if kind.current == 0.0:
        return stimuli
    if chance(rng, 0.3):
        units = np.sort(rng.choice(size, max(size // 2, 1), replace=False))
    else:
        units = None
    count = size if units is None else len(units)
    if chance(rng, 0.25):
        made.features.add("StepCurrent")
        times = np.sort(rng.choice(np.arange(1, int(duration / dt)), 3, replace=False)) * dt
        amplitudes = kind.current * rng.uniform(-0.5, 1.2, (3, count) if chance(rng, 0.5) else 3)
        stimuli.append(StepCurrent(name, times, amplitudes, name=f"step {name}", units=units))
    if chance(rng, 0.2):
        made.features.add("SineCurrent")
        amplitude, offset = kind.current * rng.uniform(0.2, 0.8, 2)
        if chance(rng, 0.5):
            stop = float(rng.uniform(0.5, 1.0) * duration)
        else:
            stop = None
        sine = {
            "amplitude": amplitude,
            "frequency": rng.uniform(5.0, 60.0),
            "offset": offset,
            "phase": rng.uniform(0, 6),
        }
        stimuli.append(SineCurrent(name, **sine, start=0.02, stop=stop, name=f"sine {name}", units=units))
    if chance(rng, 0.2):
        made.features.add("NoiseCurrent")
        sd = kind.current * rng.uniform(0.1, 0.6, count if chance(rng, 0.5) else None)
        mean = kind.current * rng.uniform(0.0, 0.5)
        stimuli.append(NoiseCurrent(name, mean, sd, rng.uniform(2e-3, 2e-2), name=f"noise {name}", units=units))
    if chance(rng, 0.25):
        made.features.add("GapJunctions")
        pairs = rng.integers(0, size, (2, 2 * size))
        if chance(rng, 0.5) and size < MANY:
            pattern = AllToAll()
        else:
            pattern = FromList(*pairs)
        stimuli.append(
            GapJunctions(name, source=name, pattern=pattern, conductance=kind.conductance * rng.uniform(0.2, 1.0))
        )
    return stimuli


def draw_gaps(rng: Generator, cells: list[Made]) -> list[Current]:
    """Return gap junctions between two populations, now and then: one end of which some neuron is listed twice."""
    able = [made for made in cells if made.kind.current > 0]
    if len(able) < 2 or not chance(rng, 0.35):
        return []
    one, other = able[:2]
    sizes = one.population.size, other.population.size
    listed = FromList(*(rng.integers(0, size, 2 * max(sizes)) for size in sizes))
    if chance(rng, 0.4) and max(sizes) < MANY:
        pattern = AllToAll()
    else:
        pattern = listed
    # Of two kinds in different units the more sensitive one is pulled as among its own.
    conductance = min(one.kind.conductance, other.kind.conductance) * rng.uniform(0.1, 0.5)
    for made in (one, other):
        made.features.add("gaps between")
    ends = one.population.name, other.population.name
    return [GapJunctions(ends[1], source=ends[0], pattern=pattern, conductance=conductance, name="between")]


def draw_pattern(
    rng: Generator, source: Population, target: Population, features: set[str]
) -> tuple[Pattern, int | None]:
    """Return a pattern, and the number of its synapses where that is known."""
    sizes = source.size, target.size
    if min(sizes) > MANY:
        return FixedNumberPre(3), None
    if min(sizes) < 4 or not chance(rng, 0.2):
        return _drawn_pattern(rng, sizes, features)
    features.add("parts")
    part = sizes[0] // 2 + 1, (sizes[1] + 1) // 2
    pattern, count = _drawn_pattern(rng, part, features)
    return BetweenParts(pattern, f":{part[0]}", "::2"), count


def _drawn_pattern(rng: Generator, sizes: tuple[int, int], features: set[str]) -> tuple[Pattern, int | None]:
    """Return a pattern between so many sources and targets, and the number of its synapses where that is known."""
    drawn = (
        FixedProbability(0.5),
        FixedNumberPre(min(3, sizes[0])),
        FixedNumberPost(min(4, sizes[1])),
        FixedTotalNumber(2 * sizes[1], with_replacement=False),
    )
    if sizes[1] > MANY:
        kind = len(drawn) + 2
    else:
        kind = int(rng.integers(len(drawn) + 3))
    if kind < len(drawn):
        return drawn[kind], None
    if kind == len(drawn):
        features.add("repeated")
        count = int(rng.integers(2, 3 * sizes[1]))
        pre, post = (rng.integers(0, size, count) for size in sizes)
        return FromList(np.append(pre, pre[:2]), np.append(post, post[:2])), count + 2
    if kind == len(drawn) + 1 and sizes[0] == sizes[1]:
        return OneToOne(), sizes[0]
    return AllToAll(), sizes[0] * sizes[1]


def draw_rule(rng: Generator, unit: float, features: set[str]) -> LearningRule:
    """Return a rule whose bounds hold weights of `unit`."""
    low, high = sorted((0.0, 2.0 * unit))
    bounds = {"w_min": low, "w_max": high}
    taus = {"tau_plus": rng.uniform(5e-3, 3e-2), "tau_minus": rng.uniform(5e-3, 3e-2)}
    # A power below 1 turns the rounding of float32 at a bound, 6e-8, into 1e-3.
    power = 1.0 if "float32" in features else 0.4
    powers = dict(zip(("mu_plus", "mu_minus"), rng.choice([0.0, power, 1.0], 2).tolist(), strict=True))
    pairing = str(rng.choice(["all_to_all", "nearest"], p=[0.4, 0.6]))
    amounts = {"a_plus": rng.uniform(-0.05, 0.15), "a_minus": rng.uniform(-0.05, 0.15)}
    kind = str(rng.choice(["STDP", "TripletSTDP", "RewardSTDP", "Hebbian"]))
    features.add("STDP nearest" if kind == "STDP" and pairing == "nearest" else kind)
    if kind == "STDP":
        return STDP(**taus, **amounts, **bounds, **powers, pairing=pairing)
    if kind == "TripletSTDP":
        names = ("a2_plus", "a3_plus", "a2_minus", "a3_minus")
        triplet = dict(zip(names, rng.uniform(0.0, 0.08, 4).tolist(), strict=True))
        slow = {"tau_x": rng.uniform(0.02, 0.1), "tau_y": rng.uniform(0.02, 0.1)}
        return TripletSTDP(**taus, **slow, **triplet, **bounds, **powers, pairing=pairing)
    if kind == "RewardSTDP":
        reward = {"tau_c": rng.uniform(0.02, 0.5), "tau_d": rng.uniform(0.01, 0.2), "reward_size": rng.uniform(1, 8)}
        late = {"baseline": float(rng.choice([0.0, rng.uniform(0, 2)])), "reward_delay": int(rng.integers(1, 6)) * 1e-3}
        return RewardSTDP("played", **reward, **late, **taus, **amounts, **bounds, **powers, pairing=pairing)
    thetas = {
        "theta_pre": rng.uniform(0, 0.3),
        "theta_post": rng.uniform(0, 0.3),
        "oja": rng.uniform(0, 0.5) / abs(unit),
    }
    slow = {"tau_pre": taus["tau_plus"], "tau_post": taus["tau_minus"]}
    return Hebbian(eta=float(rng.choice([-0.05, 0.05])) * abs(unit), **slow, **thetas, **bounds)


def written_rule(
    rule: LearningRule | None, short_term: ShortTermPlasticity | None, unit: float, features: set[str]
) -> LearningRule | None:
    """Return a rule, or now and then a model of equations in its place; the draws are apart from the other draws."""
    if short_term is not None or not isinstance(rule, (TripletSTDP, RewardSTDP, Hebbian)):
        return rule
    # Time constants are drawn for each rule, and no two are alike.
    tau = rule.tau_pre if isinstance(rule, Hebbian) else rule.tau_plus
    rng = np.random.default_rng(int(1e15 * tau))
    if not chance(rng, 0.65):
        return rule
    features -= {"TripletSTDP", "RewardSTDP", "Hebbian"}
    kind = str(rng.choice(list(WrittenPairs)))
    features.add(kind)
    low, high = sorted((0.0, 2.0 * unit))
    taus = {"tau_pre": rng.uniform(5e-3, 3e-2), "tau_post": rng.uniform(5e-3, 3e-2)}
    amounts = {"up": rng.uniform(-0.05, 0.15) * (high - low), "down": rng.uniform(-0.05, 0.15) * (high - low)}
    return WrittenPairs[kind](**taus, **amounts, low=low, high=high)


def draw_homeostasis(rng: Generator, unit: float, features: set[str], dt: float) -> Homeostasis:
    interval = int(rng.integers(5, 40)) * dt
    if chance(rng, 0.5):
        features.add("SynapticScaling")
        tau = interval * rng.uniform(1.5, 8.0)
        return SynapticScaling(rng.uniform(10.0, 60.0), tau_rate=rng.uniform(0.02, 0.2), tau=tau, interval=interval)
    features.add("WeightNormalisation")
    return WeightNormalisation(rng.uniform(1.0, 4.0) * unit, interval=interval)


def draw_short_term(rng: Generator, features: set[str]) -> ShortTermPlasticity:
    facilitates = chance(rng, 0.5)
    features.add("facilitation" if facilitates else "depression")
    tau = rng.uniform(0.02, 0.2) if facilitates else 0.0
    return ShortTermPlasticity(rng.uniform(0.2, 0.9), rng.uniform(0.02, 0.2), tau)
