"""Text of synapses, read: equations of their variables, and the lines of code of a step and of an event."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...base.errors import NeurosimInputError, require
from ..neurons.symbolic.code import StepCode, plain
from ..neurons.symbolic.methods import integrate, noises
from ..neurons.symbolic.model_text import in_order
from ..neurons.symbolic.parts import EquationParts
from ..neurons.symbolic.split import LinearPart, linear_part
from ..neurons.symbolic.statements import ASSIGNMENT, Statement, check_names, lines
from ..neurons.symbolic.step import indented, tuple_of
from ..neurons.symbolic.text import STEP, Equation, EquationReader, symbol
from ..neurons.symbolic.units import Dimension, check_unit, dimension, per_second, read_unit

# Steps up to 2^LEVELS between two events of a synapse: the exact step of 1, 2, 4, ... of them is in a table.
LEVELS = 31
WEIGHT = "w"
SENT = "input"
READ = re.compile(r"\b([A-Za-z]\w*)_post\b")


class SynapseCode(StepCode):
    """Code of a loop over synapses: a constant is an entry of the vector `c`."""

    def constant(self, code: str) -> str:
        if code not in self.constants:
            self.constants.append(code)
        return f"c[{self.constants.index(code)}]"


@dataclass
class SynapseText:
    """The text of synapses, read.

    Attributes:
        variables: names, without the weight.
        values: parameters.
        reads: states of the target.
        events, clocked: equations of both kinds; `linear` and `steady` are their parts that are integrated exactly.
        sent: what is added to the receptor in every step; None: nothing.
    """

    statements: Sequence[Statement]
    given: Mapping[str, float]
    texts: str
    values: dict[str, float] = field(init=False)
    steady: LinearPart = field(init=False, default_factory=lambda: linear_part(()))

    def __post_init__(self) -> None:
        slopes = [each for each in self.statements if each.is_slope]
        named = [each for each in self.statements if each.value and not each.is_slope]
        declared = [each for each in self.statements if not each.value]

        # Names: variables move, parameters stay, subexpressions stand for an expression of both.
        constants = [each.name for each in declared if each.flags & {"constant", "shared"}]
        self.variables = [each.name for each in (*slopes, *declared) if each.name not in (*constants, WEIGHT)]
        self.values = {**dict.fromkeys(constants, 0.0), **self.given}
        subexpressions = [each.name for each in named if each.name != SENT]
        own = [*self.variables, *self.values, *subexpressions]
        # Names that end in _post and are no names of its own are states of the target.
        self.reads = tuple(sorted({each for each in READ.findall(self.texts) if f"{each}_post" not in own}))
        read = [f"{each}_post" for each in self.reads]
        check_names(self.variables, [*self.values, *subexpressions, *read], "synapse_equations")
        require(SENT not in own and WEIGHT not in self.values, "synapse_equations", "must not use this name", SENT)
        self._check_no_source(own)

        # Expressions, in which all of these names may stand.
        self.reader = EquationReader([*own, *read, WEIGHT])
        self.named = {each.name: self.reader.expression(each.value, each.name) for each in named}
        self.sent = self.named.pop(SENT, None)
        if self.sent is not None:
            flags = next(each.flags for each in named if each.name == SENT)
            require("summed" in flags, "synapse_equations: input", "must be marked (summed)", ", ".join(flags) or "no")
        self.order = in_order(self.named)
        self.written = {each.name: self.reader.expression(each.value, f"d{each.name}/dt") for each in slopes}
        kinds: dict[str, list[Equation]] = {"event-driven": [], "clock-driven": []}
        for each in slopes:
            marks = [kind for kind in kinds if kind in each.flags]
            rule = "must be marked (event-driven) or (clock-driven)"
            require(len(marks) == 1, f"synapse_equations: d{each.name}/dt", rule, ", ".join(each.flags) or "no mark")
            kinds[marks[0]].append(Equation(each.name, self.closed(self.written[each.name]), each.unit, held=False))
        self.events = kinds["event-driven"]
        self.clocked = kinds["clock-driven"]
        self.linear = self._linear()

    def _linear(self) -> LinearPart:
        linear = linear_part(self.events)
        between = {*self.values, "dt", *(each.name for each in self.events)}
        for each in self.events:
            is_free = {str(name) for name in each.slope.free_symbols} <= between
            if not is_free or each.name not in linear.names:
                rule = "must be linear in event-driven variables, with parameters alone; mark it (clock-driven)"
                raise NeurosimInputError(f"synapse_equations: d{each.name}/dt: {rule} (got {each.slope})")
        return linear

    def _check_no_source(self, own: Sequence[str]) -> None:
        """Raise where the text reads a state of the source, such as v_pre, that is no name of its own."""
        source = sorted(name for name in re.findall(r"\b[A-Za-z]\w*_pre\b", self.texts) if name not in own)
        if source:
            rule = "must not be read, for it is a variable of the source; write a variable that on_pre raises"
            raise NeurosimInputError(f"synapse_equations: {source[0]}: {rule}")

    def closed(self, expression: Any) -> Any:
        """Return an expression with subexpressions written out and units of literals as numbers."""
        for name in self.order:
            expression = expression.subs(symbol(name), self.named[name])
        return self.reader.plain(expression)

    def check_units(self, units: Mapping[str, str]) -> dict[str, Dimension]:
        """Check the units of the equations, and return those of the names."""
        texts = {**units, **{each.name: each.unit for each in self.statements if each.unit is not None}}
        known = dict(self.reader.known)
        for name, text in texts.items():
            known[name] = read_unit(text, f"synapse_equations.units[{name!r}]")
        for name in reversed(self.order):
            check_unit(self.named[name], known.get(name), known, name)
            unit = dimension(self.named[name], known, name)
            if unit is not None:
                known.setdefault(name, unit)
        for name, slope in self.written.items():
            check_unit(slope, per_second(known.get(name)), known, f"d{name}/dt")
        if self.sent is not None:
            check_unit(self.sent, known.get(SENT), known, SENT)
        return known

    def locals(self) -> dict[str, str]:
        """Return the variables of the loop, by name of what they hold."""
        read = {f"{each}_post": f"read_{each}" for each in self.reads}
        drives = {name: f"drawn_{name}" for name in self.reader.drives if name != "t"}
        return {name: f"own_{name}" for name in (*self.variables, WEIGHT)} | read | drives | {"t": "t", STEP: STEP}

    def clock_lines(self, code: StepCode, method: str | None) -> list[str]:
        """Return the lines of a step of a synapse: what it sends, then the variables that move."""
        if not self.clocked and self.sent is None:
            return []
        # Variables of events are not up to date in between.
        used = [each.slope for each in self.clocked] + ([self.closed(self.sent)] if self.sent is not None else [])
        late = {each.name for each in self.events}
        for each in used:
            stale = sorted(late & set(map(str, each.free_symbols)))
            rule = "must not be read in every step, for it is event-driven; mark it (clock-driven)"
            require(not stale, "synapse_equations", rule, ", ".join(stale))
        noisy = sorted({name for each in self.clocked for name in noises(each.slope)})
        now = self.locals()
        names = [each.name for each in self.clocked]
        new = {name: f"{now[name]}_new" for name in names}
        body = self._load(sorted({str(each) for value in used for each in value.free_symbols} | set(names)), now)
        for number, name in enumerate(noisy):
            body.append(f"{now[name]} = plastic.noise_at(entry, context, i, s, {number})")
        if self.sent is not None:
            body.append(f"row[j] += line.dtype.type({code.render(self.closed(self.sent), now)})")
        if self.clocked:
            body += integrate(self._parts(method, noisy), code, now, new, waits=False)
            body += [self._store(name, new[name]) for name in names]
        return body

    def _parts(self, method: str | None, noisy: Sequence[str]) -> EquationParts:
        names = [each.name for each in self.clocked]
        moving = [name for name in (WEIGHT, *self.variables) if name not in names]
        # Time, noise and variables that move otherwise are no constants of the exact part.
        linear = linear_part(() if method else self.clocked, (), ["t", STEP, *noisy, *moving])
        self.steady = linear
        nothing: Mapping[str, Any] = {}
        return EquationParts(
            equations=self.clocked, linear=linear, method=method, threshold=None, refractory=None, reset=(),
            parameters=self.values, receptors=nothing, inputs=(), positive=(), initial=nothing,
            drives=self.reader.drives, lookups=nothing, timed=nothing,
        )  # fmt: skip

    def event_lines(self, code: StepCode, text: str, what: str, known: dict[str, Dimension]) -> list[str]:
        """Return the lines of an event at a synapse: variables brought up to date, then the assignments.

        Args:
            what: `on_pre` or `on_post`, as errors name it.
            known: units of names.
        """
        now = self.locals()
        units = dict(known)
        reader = EquationReader([*self.reader.names])
        body = []
        # Event-driven variables are stored though no line assigns them: they were led to this step.
        changed = [each.name for each in self.events]
        used: set[str] = set()
        for line in lines(text, f"synapse_equations.{what}"):
            name, operator, written = self._assignment(line, what, reader.names)
            label = f"{what}: {name}"
            is_sent = name == SENT
            if operator and not is_sent:
                written = f"{name} {operator} ({written})"
            value = reader.expression(written, label)
            drawn = [each for each in reader.drives if each != "t"]
            require(not drawn, f"synapse_equations: {label}", "must have no random numbers", ", ".join(drawn))

            units |= {each: unit for each, unit in reader.known.items() if each not in units}
            check_unit(value, units.get(name), units, label)
            unit = dimension(value, units, label)
            if unit is not None and not is_sent:
                units.setdefault(name, unit)

            closed = reader.plain(self.closed(value))
            used |= set(map(str, closed.free_symbols))
            if is_sent:
                body.append(f"row[j] += line.dtype.type({code.render(closed, now)})")
                continue
            if name not in now:
                # A name that holds for the rest of the event.
                check_names((), [name], f"synapse_equations.{what}")
                reader.names = [*reader.names, name]
                now[name] = f"own_{name}"
            elif name not in changed:
                changed.append(name)
            body.append(f"{now[name]} = {code.render(closed, now)}")
        if not body:
            return []
        stored = [name for name in changed if name in (*self.variables, WEIGHT)]
        head = self._load(sorted(used | set(stored)), self.locals())
        return [*head, *self._advance(), *body, *(self._store(name, now[name]) for name in stored)]

    def _assignment(self, line: str, what: str, names: Collection[str]) -> tuple[str, str, str]:
        """Return the name, the operator ("" for "=") and the expression of a line of an event.

        Args:
            names: of variables that have a value before the line.

        Raises:
            NeurosimInputError: not an assignment, or of a name that an event may not assign.
        """
        match = ASSIGNMENT.fullmatch(line)
        if match is None:
            rule = "must read like 'x += 1' or 'w = clip(w + x, 0, 1)'"
            raise NeurosimInputError(f"synapse_equations.{what}: {rule} (got {line!r:.80})")
        name, operator, written = match.groups()
        label = f"synapse_equations: {what}: {name}"
        if name == SENT:
            adds = operator == "+" and what == "on_pre"
            require(adds, f"{what}: {name}", "must read like 'input += w', in on_pre", line)
            return name, operator, written
        if operator and name not in names:
            rule = "must be a variable of the synapse; what arrives at the target is written 'input += ...'"
            raise NeurosimInputError(f"{label}: {rule} (got {line!r:.80})")
        if name.removesuffix("_post") in self.reads:
            rule = "must not be assigned; what arrives at the target is written 'input += ...'"
            raise NeurosimInputError(f"{label}: {rule}, and the receptor of the projection is where it ends")
        is_fixed = name in self.values or name in self.named
        require(not is_fixed, label, "must not be assigned", name)
        return name, operator, written

    def _load(self, used: Sequence[str], now: Mapping[str, str]) -> list[str]:
        body = []
        for name in used:
            if name == WEIGHT:
                body.append(f"{now[name]} = np.float64(weights[s])")
            elif name in self.variables:
                body.append(f"{now[name]} = x[s, {self.variables.index(name)}]")
            elif name.removesuffix("_post") in self.reads and name in now:
                number = self.reads.index(name.removesuffix("_post"))
                read = f"plastic.target_state(entry, line.dtype.type(0), np.int64(c[READS + {number}]), np.int64(j))"
                body.append(f"{now[name]} = np.float64({read})")
        return body

    def _store(self, name: str, value: str) -> str:
        if name == WEIGHT:
            return f"weights[s] = line.dtype.type({value})"
        return f"x[s, {self.variables.index(name)}] = {value}"

    def _advance(self) -> list[str]:
        """Return the lines that lead event-driven variables to this step: exact steps of powers of two."""
        if not self.events:
            return []
        now = self.locals()
        moves = []
        for number, (name, terms) in enumerate(self.levels()):
            first = sum(len(each) for _, each in self.levels()[:number])
            parts = [f"c[level + {first + k}]" + (f" * {now[term]}" if term else "") for k, term in enumerate(terms)]
            moves.append(f"{now[name]}_new = {' + '.join(parts)}")
        # All new values are computed from the old ones before any is replaced.
        moves += [f"{now[name]} = {now[name]}_new" for name, _ in self.levels()]
        return [
            # Binary digits of the elapsed steps: `POWERS` holds the exact moves of 1, 2, 4, .. steps.
            f"elapsed = step - np.int64(x[s, {len(self.variables)}])",
            f"x[s, {len(self.variables)}] = step",
            "level = POWERS",
            "while elapsed > 0:",
            "    if elapsed & 1:",
            *indented(indented(moves)),
            "    elapsed >>= 1",
            f"    level += {self.stride}",
        ]

    def levels(self) -> list[tuple[str, list[str]]]:
        """Return each event-driven variable and what its exact step depends on: variables, and "" for a constant."""
        linear = self.linear
        return [(name, [*linear.reaches(name), *([""] if linear.driven(name) else [])]) for name in linear.names]

    @property
    def stride(self) -> int:
        return sum(len(terms) for _, terms in self.levels())

    def powers(self) -> list[str]:
        """Return the lines of `constants` that compute the exact steps of 1, 2, 4, ... steps."""
        if not self.events:
            return ["powers = []"]
        names = self.linear.names
        entries = []
        for row, (_, terms) in enumerate(self.levels()):
            entries += [f"power[{row}, {names.index(term) if term else len(names)}]" for term in terms]
        body = [*propagated("power", self.linear, "dt * 2.0**level"), f"powers += [{', '.join(entries)}]"]
        return ["powers = []", f"for level in range({LEVELS}):", *indented(body)]


def propagated(name: str, linear: LinearPart, seconds: str) -> list[str]:
    """Return the lines that compute the exact step of a linear part: the constant 1 is a variable of slope 0."""
    rows = [
        tuple_of([plain(each) for each in (*rates, constant)])
        for rates, constant in zip(linear.rates, linear.constant, strict=True)
    ]
    rows.append(tuple_of(["0.0"] * (len(linear.columns) + 1)))
    return [f"{name} = propagator(", "    (", *(f"        {row}," for row in rows), "    ),", f"    {seconds},", ")"]
