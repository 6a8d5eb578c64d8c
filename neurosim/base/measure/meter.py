"""Energy that the machine itself measures: the counters RAPL of Linux, or a file that a power meter writes.

RAPL (running average power limit): `/sys/class/powercap`, https://docs.kernel.org/power/powercap/powercap.html. Its
counters are of the whole package of a processor, with everything else that runs on it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from ..errors import require

VARIABLE = "NEUROSIM_METER"
POWERCAP = Path("/sys/class/powercap")
MICRO = 1e-6
# A package of 100 W counts to its end in 40 minutes: the counters are read at least so often, in seconds.
SAMPLE_EVERY = 60.0
# Zones that a package contains: its energy has them already.
INSIDE = ("core", "uncore")


@dataclass(frozen=True)
class MeasuredEnergy:
    """Energy of the whole machine while something ran.

    Attributes:
        joules: by counter, such as "package-0" and "dram"; none where nothing was measured.
        note: why nothing was measured, or what the figure leaves out; "" where there is nothing to say.
    """

    joules: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def total(self) -> float | None:
        """Joules of all counters together; None where nothing was measured."""
        return sum(self.joules.values()) if self.joules else None


@dataclass(frozen=True)
class EnergyCounter:
    """A file with a number that grows with the energy used.

    Attributes:
        name: of the counter.
        path: of the file.
        unit: J of one count.
        limit: count after which it begins again at 0; 0: never.
    """

    name: str
    path: Path
    unit: float = 1.0
    limit: float = 0.0

    def read(self) -> float:
        """Return the count.

        Raises:
            OSError, ValueError: it cannot be read, or is no number.
        """
        return float(self.path.read_text())

    def between(self, first: float, last: float) -> float:
        """Return the joules between two counts, of which the counter ended at most once."""
        passed = last - first
        if passed < 0:
            passed += self.limit
        return max(passed, 0.0) * self.unit


class EnergyMeter:
    """Measure the energy of the machine while a `with` block runs.

    with EnergyMeter() as meter:
        ...
    print(meter.measured.total)

    The environment variable NEUROSIM_METER names a file that holds the joules since any moment, which a meter of your
    own writes; otherwise the counters of RAPL are read, where the machine has them and lets the user read them.

    Attributes:
        measured: after the block.
    """

    def __init__(self) -> None:
        self.measured = MeasuredEnergy()
        self._counters, self._note = _readable(_counters())
        self._joules = {counter.name: 0.0 for counter in self._counters}
        self._stop = threading.Event()
        self._sampler: threading.Thread | None = None

    def __enter__(self) -> EnergyMeter:
        self._last = {counter.name: counter.read() for counter in self._counters}
        if any(counter.limit for counter in self._counters):
            self._sampler = threading.Thread(target=self._sample, daemon=True)
            self._sampler.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._sampler is not None:
            self._sampler.join()
        self._add()
        joules = {name: round(value, 6) for name, value in self._joules.items()}
        self.measured = MeasuredEnergy(joules, self._note)

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY):
            self._add()

    def _add(self) -> None:
        """Add what the counters counted since they were read last."""
        for counter in self._counters:
            try:
                count = counter.read()
            except (OSError, ValueError):  # a meter that was taken away
                self._note = f"{counter.path} could not be read to the end"
                continue
            self._joules[counter.name] += counter.between(self._last[counter.name], count)
            self._last[counter.name] = count


def _counters() -> list[EnergyCounter]:
    """Return the counters of this machine.

    Raises:
        NeurosimInputError: NEUROSIM_METER names no file.
    """
    file = os.environ.get(VARIABLE)
    if file:
        require(Path(file).is_file(), VARIABLE, "must name a file with the joules so far; unset it or correct it", file)
        return [EnergyCounter(Path(file).name, Path(file))]
    counters = []
    for zone in sorted(POWERCAP.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            limit = float((zone / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            continue
        if name not in INSIDE:
            above = _name_of(POWERCAP / zone.name.rpartition(":")[0])
            shown = f"{name} of {above}" if above else name
            counters.append(EnergyCounter(shown, zone / "energy_uj", MICRO, limit))
    # A platform counts its packages, too.
    whole = [counter for counter in counters if counter.name == "psys"]
    return whole or counters


def _name_of(zone: Path) -> str:
    """Return the name of a zone, "" for what is none."""
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""


def _readable(counters: Sequence[EnergyCounter]) -> tuple[list[EnergyCounter], str]:
    """Return the counters that can be read, and why there are none."""
    if not counters:
        return [], f"not available here: no counters in {POWERCAP}, and {VARIABLE} names no file"
    readable = []
    note = ""
    for counter in counters:
        try:
            counter.read()
        except PermissionError:
            note = f"not available here: {counter.path} is for root alone; sudo chmod a+r {counter.path}"
        except (OSError, ValueError) as error:
            note = f"not available here: {counter.path}: {error}"
        else:
            readable.append(counter)
    return readable, "" if readable else note
