"""Errors that name the thing, the rule, the value got and the next step."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import ClassVar, NoReturn, SupportsIndex, TypeVar

T = TypeVar("T")
MAX_TEXT = 4_000  # characters of an error: a name or a list in it may have any length
# Names that other programs give to what has another name here.
USUAL = {
    "dt": "clock",
    "model_type": "model",
    "neuron": "model",
    "size": "shape",
    "tau": "tau_mem",
    "tau_m": "tau_mem",
    "timestep": "clock",
    "v_rest": "v_leak",
    "v_th": "v_threshold",
}


class NeurosimError(Exception):
    """A run that could not go on. The command line prints it in one line and exits with `exit_code`."""

    exit_code = 1

    def __str__(self) -> str:
        return _readable(super().__str__())


class NeurosimInputError(NeurosimError):
    """A parameter, setting or argument that breaks its rule."""

    exit_code = 2


class NeurosimFormatError(NeurosimInputError):
    """A file that is not what its format says: names the file, the offset and what was expected."""


class NeurosimMissingError(NeurosimInputError):
    """Files or an optional package that are not there; says where to put them or what to install."""


class NeurosimWriteError(NeurosimError):
    """A file that could not be written (disk full, read-only): nothing half-written is left behind."""


class NeurosimOverflowError(NeurosimError):
    """A state of a simulation that became NaN or infinite: names population, unit, variable and interval of time."""


class NeurosimInterruptedError(NeurosimError):
    """A run that was interrupted and has put on disk what it needs to go on; says how."""

    exit_code = 130  # 128 + SIGINT, the shell's code for a program that Ctrl-C ended


class CheckpointWarning(UserWarning):
    """A checkpoint has options that are not known, or NaN among its weights: its outputs may be wrong."""


class CapacityWarning(UserWarning):
    """A memory stores more than it recalls well; the text says what recall to expect. Nothing is lost or refused."""


class GuessWarning(UserWarning):
    """A file leaves its layout open and its reader guessed; the text names the guess and the setting to correct it."""


class PluginWarning(UserWarning):
    """A plugin cannot be imported, and a list leaves it out; the text names it and its package."""


class SpeedWarning(UserWarning):
    """A computation takes a slower way to the same result."""


class UnitWarning(UserWarning):
    """A time of a second and more where milliseconds are usual, or below a step; the text says which unit is meant."""


class Uncopied:
    """Base of classes that hold addresses of memory: a copy would write into the memory of the original.

    `copy`, `deepcopy` and `pickle` are refused by name; `COPY` is the next step in the error.
    """

    COPY: ClassVar[str] = "make another"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise NeurosimInputError(
            f"{type(self).__name__}: cannot be copied or pickled, because it holds addresses of memory; {self.COPY}"
        )


def escaped(text: str) -> str:
    """Return a text whose control characters, which act on terminals, are written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def _readable(text: str) -> str:
    """Return a message without control characters, whose middle is cut out where it is long."""
    shown = escaped(text)
    if len(shown) > MAX_TEXT:
        half = MAX_TEXT // 2
        return f"{shown[:half]} [{len(shown) - 2 * half:,} characters left out] {shown[-half:]}"
    return shown


def require(condition: bool, name: str, rule: str, got: object) -> None:
    """Raise `NeurosimInputError` reading `LIF.tau_mem: must be > 0 s (got -0.02)` unless `condition`."""
    if not condition:
        # Numpy scalars print as plain numbers.
        if hasattr(got, "item") and getattr(got, "ndim", 1) == 0:
            value = got.item()
        elif hasattr(got, "ndim"):
            # An error is one line.
            value = " ".join(str(got).split())
        else:
            value = got
        raise NeurosimInputError(f"{name}: {rule} (got {value})")


def is_number(value: object) -> bool:
    """Return whether a value is one real number of Python or numpy; NaN and infinity are, booleans are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_integer(value: object) -> bool:
    """Return whether a value is one integer of Python or numpy; booleans are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


# SI units of values that people write with a prefix.
_SCALES = {"": 1.0, "k": 1e3, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9, "p": 1e-12}
_WITH_UNIT = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*([kmuµnp]?)(?:s|V|A|F|S|Hz|sec|seconds)\s*")


def unit_hint(value: object) -> str:
    """Return a hint for a text such as "20 ms", with its value in SI units; "" for anything else."""
    if not isinstance(value, str):
        return ""
    quantity = _WITH_UNIT.fullmatch(value)
    if quantity is None:
        return ""
    number, prefix = quantity.groups()
    # The pattern also matches "1.2.3" and ".", which are no numbers.
    if number.count(".") > 1 or not any(c.isdigit() for c in number):
        return ""
    return f"; numbers are in SI units, without the unit: {float(number) * _SCALES[prefix]:g}"


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the name that was probably meant: the same letters in another order, case or style, or the most alike."""
    names = list(known)
    if USUAL.get(name.lower()) in names:
        return USUAL[name.lower()]
    letters = _letters(name)
    swapped = [other for other in names if letters and _letters(other) == letters]
    return next(iter(swapped or difflib.get_close_matches(name, names, n=1, cutoff=cutoff)), None)


def _letters(name: str) -> list[str]:
    """Return the letters and digits of a name in order: `all_to_all` and `AllToAll` have the same."""
    return sorted(character for character in name.lower() if character.isalnum())


def lookup(table: Mapping[str, T], name: str, label: str) -> T:
    """Return the entry `name` of a closed table; the error has the nearest name and the whole list.

    `label` names the entries, as in "neuron", and begins the error.

    Raises:
        NeurosimInputError: no such entry.
    """
    if name in table:
        return table[name]
    raise _unknown(label, "name", name, table)


def check_keys(keys: Iterable[str], known: Iterable[str], label: str) -> None:
    """Raise for the first key that a table must not have: `population 'E': unknown key 'tau_men'; did you ...`.

    Raises:
        NeurosimInputError: naming the key, the nearest one, and all.
    """
    names = list(known)
    for key in keys:
        if key not in names:
            raise _unknown(label, "key", key, names)


def _unknown(label: str, kind: str, name: object, known: Iterable[str]) -> NeurosimInputError:
    names = sorted(known)
    near = nearest(str(name), names)
    hint = f"did you mean '{near}'? " if near else ""
    if names:
        # The column of an index has no name.
        choice = "choose from " + ", ".join(each or "''" for each in names)
    else:
        choice = "leave it out"
    return NeurosimInputError(f"{label}: unknown {kind} '{name}'; {hint}{choice}")
