"""The page of a conversion: loss against spikes, operations and energy, layer by layer; of a curve; of a training
of a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from markupsafe import Markup

from ....language.conversion.records import Choice, EnergyComparison, Trial
from ...report import charts, numbers
from ...report.charts import PALETTE, Curve, column
from ...report.recordings import Figure
from ..frame.folder import RunFolder
from .overview import DENSE
from .result import ConversionResult, ConvertResult, CurvePoint, CurveResult, Operator, TrainingResult

DEARER = {
    "compute_only": "in arithmetic alone",
    "memory_aware": "where sums stay in memory",
    "in_registers": "where sums stay in registers",
}
BASELINES = (
    "Estimates a {unit} of text, of linear layers, coders, scales and states, beside dense networks of the same size; "
    "none was measured. Integers are added at the width of their sum. Sums stay in memory, read and written for every "
    "spike, or in registers while the rows of a token are added, as the sums of dense networks always do."
)
# Yan, Bai, Tang & Wong 2024: their typical neuromorphic hardware.
BOUND = (
    "With the movement of data between cores, a published analysis (arXiv 2409.08290) finds that a spiking network "
    "takes less energy than the network of the same quantised activations only below a spike rate of 5.7 % over 5 "
    "steps, with weights of 4 bits and 4,096 inputs: "
    "{bound:.3g} spikes a channel. Here it is {spikes:.3g}."
)
BOUND_SPIKES = 0.057 * 5
MOST_NAMES = 48  # of parts that are listed one by one
SPEED = (
    "Measured on this machine: a compiled step of one sequence, a {unit} at a time, on the end of the held-out text."
)
UNTIMED = (
    "Not measured. On a CPU --set report.timed_tokens=64 measures it, and so does 'neurosim convert generate' with the "
    "folder of the run."
)


def fill(folder: RunFolder, result: ConvertResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    values: Mapping[str, object] = {}
    if isinstance(result, ConversionResult):
        values = _conversion(result)
    elif isinstance(result, CurveResult):
        values = {"figures": figures_of(result.points, result.unit) if result.points else []}
    elif isinstance(result, TrainingResult):
        values = {"figures": _training(result)}
    return {"words": _words(result), **values}


def _words(result: ConvertResult) -> dict[str, str]:
    """Return the words of sections that depend on the results."""
    unit = result.unit
    words = {
        "baselines": BASELINES.format(unit=unit),
        "speed": SPEED.format(unit=unit),
        "untimed": UNTIMED,
        "points": f"Strength: k, the largest count, or mean spikes a channel. Operations and energy a {unit} of text.",
    }
    if isinstance(result, ConversionResult):
        planes = numbers.plain(result.planes)
        escaped = numbers.percent(result.escaped, 3)
        words["expansions"] = (
            f"The same counts written in other spikes. In use: {result.sent_as} in {planes} planes, which {escaped} of "
            "the counts escape."
        )
        words["choice"] = _choice_words(result)
        if result.spikes is not None:
            words["baselines"] += " " + BOUND.format(bound=BOUND_SPIKES, spikes=result.spikes)
        words["layers"] = f"Every linear layer whose input is in spikes. {_loss_alone(result)}"
    return words


def _loss_alone(result: ConversionResult) -> str:
    """Return what the losses of layers alone are, or how they are measured where they were not."""
    if not result.alone:
        return "The loss with each layer alone in spikes was not measured; --set report.layer_tokens=512 measures it."
    tokens = f"{numbers.plain(result.alone_tokens)} {result.unit}s"
    return f"Loss alone: by how much the loss rises if this layer alone is in spikes, on {tokens}."


def dearer(comparison: EnergyComparison | None) -> list[str]:
    """Return a sentence for each estimate in which spikes cost more than a dense network."""
    sentences = []
    for name, words in DEARER.items() if comparison else ():
        # A negative saving is a loss, and must be said in words, not left to a sign in a table.
        more = {
            f"dense {kind}": numbers.against(saving)
            for kind in DENSE
            if (dense := getattr(comparison, kind)) is not None
            and (saving := dense.saving.get(name)) is not None
            and saving < 0
            and numbers.against(saving) != numbers.AS_MUCH
        }
        if more:
            beside = " and ".join(f"{ratio} than {kind}" for kind, ratio in more.items())
            sentences.append(f"Spikes cost more energy {words}: {beside} (estimates).")
    return sentences


def _conversion(result: ConversionResult) -> dict[str, object]:
    reasons = result.baselines.reasons if result.baselines else {}
    return {
        "finished": True,
        "dearer": dearer(result.baselines),
        "execution": _execution(result),
        "speed": _speed(result),
        "choice": [] if result.choice is None else _choice(result.choice, result.unit),
        "figures": _layers(result),
        "operations": [(operation, ", ".join(parts)) for operation, parts in grouped(result.operators).items()],
        "reasons": [f"{name}: {reason}" for name, reason in reasons.items()],
    }


def grouped(operators: Iterable[Operator]) -> dict[str, list[str]]:
    """Return the names of the parts that are not in spikes, by their description; of many, as of experts, the first."""
    groups: dict[str, list[str]] = {}
    for operator in operators:
        groups.setdefault(operator.what, []).append(operator.name)
    for names in groups.values():
        more = len(names) - MOST_NAMES
        if more > 0:
            names[MOST_NAMES:] = [f"and {more} more"]
    return groups


def _layers(result: ConversionResult) -> list[Figure]:
    """Return (picture, caption) of spikes and of silence by layer: dots, for nothing lies between two layers."""
    x = np.arange(1, len(result.layers) + 1, dtype=np.float64)
    figures = []
    for name, title, colour in (
        ("spikes", "spikes a channel", PALETTE[0]),
        ("silent", "share of silent channels", PALETTE[1]),
    ):
        dots = Curve(name="", x=x, y=column(result.layers, name), colour=colour, kind="dots")
        words = f"{title.capitalize()} of each layer, in the order of the table."
        figures.append((charts.curves([dots], "layer, from the input", title, words), words))
    return figures


def _choice_words(result: ConversionResult) -> str:
    """Return what the trials were, and which was chosen."""
    choice = result.choice
    if choice is None:
        return ""
    limit = numbers.percent(choice.limit, 2)
    marked = f"{choice.name} = {choice.strength:.3g}"
    if choice.met:
        words = f"The chosen {marked} is marked."
    else:
        words = f"No trial lost as little; {marked}, which lost least, is marked."
    return (
        f"Trials for at most {limit} more perplexity, on {numbers.plain(choice.tokens)} {result.unit}s that neither "
        "the thresholds nor the losses above are taken from. Perplexity is estimated from the divergence of the "
        f"predictions from the dense model's, of which the loss rose {choice.ratio:.2f} times as much over all trials. "
        f"{words}"
    )


def _choice(choice: Choice, unit: str) -> list[Figure]:
    """Return (picture, caption) of loss against spikes, active channels and the time of a step; the chosen is a dot."""
    axes: list[tuple[Callable[[Trial], float | None], float, str, str]] = [
        (lambda t: t.spikes, 1.0, "spikes a channel", "Loss against spikes."),
        (lambda t: t.active, 100.0, "active channels, %", "Loss against the share of active channels."),
        (lambda t: t.seconds, 1e3, f"ms a {unit}", "Loss against the time of a compiled step."),
    ]
    figures = []
    for value, scale, name, caption in axes:
        known = [(value(trial), trial) for trial in choice.trials]
        pairs = sorted((scale * x, 100 * t.increase, t.strength == choice.strength) for x, t in known if x is not None)
        if not pairs:
            continue
        x = np.array([each for each, _, _ in pairs])
        y = np.array([increase for _, increase, _ in pairs])
        chosen = np.array([is_chosen for _, _, is_chosen in pairs])
        series = [
            Curve("trials", x, y, PALETTE[0]),
            Curve(name="", x=x, y=y, colour=PALETTE[0], kind="dots"),
            Curve(name="chosen", x=x[chosen], y=y[chosen], colour=PALETTE[2], kind="dots"),
            Curve(
                name="stated loss",
                x=np.array([x.min(), x.max()]),
                y=np.full(2, 100 * choice.limit),
                colour=PALETTE[4],
                kind="dashed",
            ),
        ]
        figures.append((charts.curves(series, name, "perplexity more, %", caption), caption))
    return figures


def _execution(result: ConversionResult) -> list[tuple[str, str]]:
    """Return how the executed model compares with the simulated one."""
    check = result.execution
    if check is None:
        return []
    return [
        (f"{result.unit.capitalize()}s", numbers.plain(check.tokens)),
        ("Largest difference of a logit, over the largest logit", numbers.plain(check.largest, 2)),
        (f"Same next {result.unit}", numbers.percent(check.agreement, 2)),
        ("Executed in", numbers.seconds(check.executed_seconds)),
        ("Simulated in", numbers.seconds(check.simulated_seconds)),
    ]


def _speed(result: ConversionResult) -> list[tuple[str, str]]:
    """Return the time of a token, and what it is measured with."""
    speed = result.speed
    if speed is None:
        return []
    return [
        ("In spikes", numbers.seconds(speed.spiking)),
        ("Dense, float32", numbers.seconds(speed.dense)),
        ("Threads", numbers.plain(speed.threads)),
        (f"State carried from {result.unit} to {result.unit}", numbers.si(speed.state_bytes, "B")),
    ]


def figures_of(points: Sequence[CurvePoint], unit: str = "byte") -> list[Figure]:
    """Return (picture, caption) of loss against spikes, operations and energies."""
    axes: list[tuple[Callable[[CurvePoint], float | None], float, str, str]] = [
        (lambda p: p.spikes, 1.0, "spikes a channel", "Loss against spikes."),
        (lambda p: p.operations, 1e-6, f"million additions a {unit}", "Loss against operations."),
        (
            lambda p: _middle(p, "compute_only"),
            1e9,
            f"nJ a {unit}, arithmetic alone",
            "Loss against energy of arithmetic.",
        ),
        (
            lambda p: _middle(p, "memory_aware"),
            1e6,
            f"\N{MICRO SIGN}J a {unit}",
            "Loss against energy, memory included.",
        ),
    ]
    return [(_chart(points, value, scale, name, caption), caption) for value, scale, name, caption in axes]


def _chart(
    points: Sequence[CurvePoint], value: Callable[[CurvePoint], float | None], scale: float, name: str, words: str
) -> Markup:
    series = []
    for colour, scheme in zip(PALETTE, dict.fromkeys(point.scheme for point in points), strict=False):
        own = [point for point in points if point.scheme == scheme]
        # The axis is logarithmic: 0 and unknown values have no place on it.
        pairs = sorted((scale * (value(point) or np.nan), point.perplexity_increase or 0.0) for point in own)
        x, y = (np.array(values, np.float64) for values in zip(*pairs, strict=True))
        series += [Curve(scheme, x, 100 * y, colour), Curve(name="", x=x, y=100 * y, colour=colour, kind="dots")]
    return charts.curves(series, name, "perplexity more, %", words, log_x=True)


def _middle(point: CurvePoint, estimate: str) -> float | None:
    # A curve needs one number: the middle of the range that memory costs have.
    energy = getattr(point.baselines, estimate, None)
    return None if energy is None else (energy.low + energy.high) / 2


def _training(result: TrainingResult) -> list[Figure]:
    """Return (picture, caption) of the losses; none where the training recorded none."""
    rows = result.history
    if not rows:
        return []
    series = [
        Curve("training", column(rows, "step"), column(rows, "loss"), PALETTE[0]),
        Curve("held out", column(rows, "step"), column(rows, "validation_loss"), PALETTE[1]),
    ]
    words = "Loss against updates"
    return [(charts.curves(series, "updates", "nats a byte", words, width=charts.WIDE), "")]
