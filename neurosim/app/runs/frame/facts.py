"""The facts of a run: made once from its results, and shown both on its page and on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import TextWrapper

from markupsafe import Markup

from ....base.measure.estimates import EnergyEstimates
from ....base.measure.measures import Measures
from ....base.measure.meter import MeasuredEnergy
from ...report import numbers, sections
from ...report.sections import measured_words
from ..score import FrameCNN, Score
from .folder import REPORT
from .tables import OfRun, grid, table

ENERGY = "Energy estimate"
MEASURED = "Energy measured"
SPEED = "Real-time factor"
WIDTH = 110  # characters of a line on a terminal
VALUE = 72  # of a fact and its note, beside its label
MAX_TILE = 10  # characters of a figure in the large type of a tile
MAX_WIDTH = 90  # of the columns of a table, without the column of names


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A figure of a run, with its meaning: a tile of the page and a row of the terminal's table.

    Attributes:
        label: a name.
        value: None where it is not known.
        format: of the value as text, a function of `report.numbers`.
        note: words that explain the figure, or say why it is not known.
        tile: whether the page shows it as a tile; otherwise a section of the page has it.
        picture: a small chart of it, for the tile.
        of_clock: whether a clock or a meter measured it, so that it differs from run to run.
    """

    label: str
    value: object
    format: Callable[[object], str] = numbers.plain
    note: str = ""
    tile: bool = True
    picture: str = ""
    of_clock: bool = False

    @property
    def text(self) -> str:
        if isinstance(self.value, str):
            return self.value
        return self.format(self.value)

    @property
    def is_long(self) -> bool:
        """Tell whether the text needs smaller type on a tile."""
        return len(self.text) > MAX_TILE

    def below(self) -> Fact:
        """Return the same without a tile."""
        return replace(self, tile=False)


@dataclass(frozen=True)
class Table:
    """A table of a run, with its cells as text.

    Attributes:
        caption: says what the rows are.
        heads: of the columns; the first column has the names of the rows.
        rows: each begins with its name.
        short: rows for a terminal, where there are too many for it; the page has all.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    short: Sequence[Sequence[str]] = ()

    def text(self) -> str:
        """Return the table for a terminal; of one that is too wide, the names stand before each part."""
        parts: list[list[int]] = [[]]
        width = 0
        # Columns go into a part as long as they fit beside the names.
        for k in range(1, len(self.heads)):
            cells = max(len(row[k]) for row in (self.heads, *self.rows)) + 2
            if width + cells > MAX_WIDTH and parts[-1]:
                parts.append([])
                width = 0
            parts[-1].append(k)
            width += cells
        lines = [self.heads, *self.rows]
        grids = []
        for part in parts:
            shown = [[line[0], *(line[k] for k in part)] for line in lines]
            grids.append(grid(shown[0], shown[1:]))
        return "\n".join([*_lines(self.caption), *grids])


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Everything that page and terminal both show of a run.

    Attributes:
        title: of the page.
        lead: facts in words, such as the number of recordings; empty ones are left out.
        facts: in the order in which they are shown.
        tables: by the name by which the page's template calls them.
        closing: further lines for the terminal, such as the command to run next.
    """

    title: str
    lead: Sequence[str]
    facts: Sequence[Fact]
    tables: Mapping[str, Table] = field(default_factory=dict)
    closing: Sequence[str] = ()

    def with_measured(self, measured: MeasuredEnergy) -> Overview:
        """Return the overview with the energy that was measured, behind the estimates.

        As it is without estimates, and where nothing was measured: the section on energy says why.
        """
        last = max((k for k, fact in enumerate(self.facts) if fact.label.startswith(ENERGY)), default=None)
        if last is None or measured.total is None:
            return self
        shown = Fact(
            label=MEASURED,
            value=measured.total,
            format=_joules,
            note=measured_words(measured),
            tile=False,
            of_clock=True,
        )
        return replace(self, facts=[*self.facts[: last + 1], shown, *self.facts[last + 1 :]])

    def text(self, result: OfRun) -> str:
        """Return what the terminal shows."""
        seed = getattr(result, "seed", None)
        words = [word for word in (*self.lead, "" if seed is None else f"seed {seed}") if word]
        rows = [line for fact in self.facts for line in _rows(fact)]
        files = [("Run", result.run), ("Report", str(Path(result.run) / REPORT))]
        parts = [
            numbers.text("\n".join([self.title, *_lines(", ".join(words), indent="  "), table(rows)])),
            *(
                numbers.text(f"{each.caption}\n{grid(each.heads, each.short or each.rows)}")
                for each in self.tables.values()
                if each.rows
            ),
            *(["\n".join(line for words in self.closing for line in _lines(words))] if self.closing else []),
            # Last, where they are looked for when a long table has scrolled by.
            table(files),
        ]
        return "\n\n".join(parts)


def _lines(text: str, width: int = WIDTH, indent: str = "") -> list[str]:
    """Return a text in lines; paths and digests stay whole."""
    wrapper = TextWrapper(
        width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return wrapper.wrap(text)


def _rows(fact: Fact) -> list[tuple[str, str]]:
    """Return the rows of a fact, which are several where its note is long."""
    if isinstance(fact.note, Markup):
        note = Markup(fact.note).striptags()
    else:
        note = fact.note
    text = f"{fact.text} ({note})" if note else fact.text
    lines = _lines(numbers.text(text), VALUE) or [""]
    return [(fact.label if k == 0 else "", line) for k, line in enumerate(lines)]


def named(title: str, dataset: str, otherwise: str) -> str:
    """Return the name of a dataset for a title: the part of its own title before a colon."""
    return (title or dataset or otherwise).split(":")[0]


def accuracy(score: Score, samples: int | None, label: str = "Accuracy") -> Fact:
    """Return an accuracy with the number of items, its interval and chance."""
    # Of classes of unequal size, the largest class and a guess are two chances.
    ends = score.confidence_interval
    if score.accuracy is None:
        return Fact(label=label, value=None, note="not recorded")
    largest = numbers.percent(score.chance)
    guess = numbers.percent(score.uniform_chance)
    chance = f"chance {largest}"
    if score.chance is None:
        chance = "chance not recorded"
    elif score.uniform_chance is not None and largest != guess:
        chance = f"largest class {largest}, a guess {guess}"
    if ends is None:
        return Fact(label=label, value=score.accuracy, format=numbers.percent, note=chance)
    return Fact(
        label=label,
        value=score.accuracy,
        format=numbers.percent,
        note=f"of {numbers.plain(samples)}; {sections.between(ends)}; {chance}",
        picture=sections.accuracy_chart(score.accuracy, ends, score.chance),
    )


def sparsity(measures: Measures | None, note: str) -> Fact:
    """Return the share of outputs that are silent."""
    if measures is None:
        value = None
    else:
        value = measures.activation_sparsity

    def shown(value: object) -> str:
        return numbers.percent(value, 2)

    return Fact(label="Activation sparsity", value=value, format=shown, note=note)


def operations(measures: Measures | None, each: str = "per sample; ") -> Fact:
    """Return the synaptic operations, beside the operations of a dense network."""
    if measures is None:
        counts = None
    else:
        counts = measures.synaptic_operations
    done, dense = (None, None) if counts is None else (counts.effective, counts.Dense)
    return Fact(
        label="Synaptic operations", value=done, format=numbers.si, note=f"{each}{sections.against(dense, done)}"
    )


def energies(energy: EnergyEstimates | None, each: str = "per sample") -> list[Fact]:
    """Return the estimate with memory, and the estimate of arithmetic alone."""
    if energy is None:
        return [Fact(label=ENERGY, value=None, note=f"{each}, memory included")]
    return [
        _energy(energy, "memory_aware", ENERGY, f"{each}, memory included", tile=True),
        _energy(energy, "compute_only", f"{ENERGY}, arithmetic alone", each, tile=False),
    ]


def _joules(value: object) -> str:
    return numbers.si(value, "J")


def _energy(energy: EnergyEstimates, name: str, label: str, each: str, *, tile: bool) -> Fact:
    value = getattr(energy, name)
    dense = getattr(energy, f"dense_{name}")

    def joules(value: object) -> str:
        return numbers.span(value, "J")

    if value is None:
        return Fact(label=label, value=None, note=energy.reasons.get(name, "not recorded"), tile=tile)
    note: str = each
    if dense is not None:
        # The class `keep` holds a number and its unit on one line of the tile; the terminal strips the tag.
        note = Markup('{}; dense <span class="keep">{}</span>').format(each, joules(dense))
    if not tile:
        note = f"{each}; dense {joules(dense)}; profile {energy.profile}"
    return Fact(label=label, value=value, format=joules, note=note, tile=tile)


def speed(factor: float | None) -> Fact:
    """Return a real-time factor: wall-clock seconds for each simulated second."""
    return Fact(label=SPEED, value=factor, format=numbers.three, note=sections.speed(factor), of_clock=True)


def digest(label: str, value: str) -> Fact:
    """Return the first 16 digits of a SHA-256 in hexadecimal; the page has the whole among the provenance."""
    return Fact(label=label, value=value[:16], tile=False)


def together(group: str) -> str:
    """Return in words that answers depend on the other recordings of a group, "" where they do not."""
    if group:
        return f"the recordings of each {group} answered together"
    return ""


def some_of(count: int | None, size: int | None) -> str:
    """Return a number of recordings, and of how many they are, where a limit took them."""
    return numbers.plain(count) if size is None else f"{numbers.plain(count)} of the {numbers.plain(size)}"


def all_of(train_size: int | None, size: int | None) -> str:
    """Return the settings that take all recordings, of which a limit took some; "" where all were taken."""
    sizes = {"data.train_limit": train_size, "data.limit": size}
    sets = [f"--set {key}={each}" for key, each in sizes.items() if each is not None]
    return f"all with {' '.join(sets)}" if sets else ""


def baselines(accuracies: Mapping[str, float], cnn: FrameCNN | None = None) -> list[Fact]:
    """Return the accuracies of simple classifiers on the same recordings, of which the page has a section."""
    words = ", ".join(f"{name} {numbers.percent(value)}" for name, value in accuracies.items())
    facts = []
    if words:
        facts.append(Fact(label="Baselines, on counts", value=words, tile=False))
    if cnn is not None:
        facts.append(_frame_cnn(cnn, "on frames" if words else "on images"))
    return facts


def _frame_cnn(cnn: FrameCNN, seen: str) -> Fact:
    """Return the accuracy and the cost of the small convolutional network beside a run."""
    label = f"A small CNN, {seen}"
    if cnn.reason:
        return Fact(label=label, value=None, note=cnn.reason, tile=False)
    work = f"{numbers.plain(cnn.parameters)} parameters, {numbers.si(cnn.multiply_accumulates)} multiply-accumulates"
    energy = [
        f"{numbers.si(joules, 'J')} {name}"
        for name, joules in (("int8", cnn.energy_int8), ("fp32", cnn.energy_fp32))
        if joules is not None
    ]
    arithmetic = f": arithmetic {', '.join(energy)} (estimate)" if energy else ""
    return Fact(label=label, value=cnn.accuracy, format=numbers.percent, note=f"{work}{arithmetic}", tile=False)
