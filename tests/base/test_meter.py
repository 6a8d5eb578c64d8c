"""Energy by counters of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurosim.base import NeurosimInputError
from neurosim.base.measure import meter
from neurosim.base.measure.meter import VARIABLE, EnergyMeter


def zone(folder: Path, place: str, name: str, count: int, limit: int = 1_000_000) -> Path:
    path = folder / place
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{count}\n")
    (path / "max_energy_range_uj").write_text(f"{limit}\n")
    return path / "energy_uj"


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(meter, "POWERCAP", tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def test_packages_and_their_memory_are_summed_and_cores_are_not(powercap: Path) -> None:
    package = zone(powercap, "intel-rapl:0", "package-0", 100)
    core = zone(powercap, "intel-rapl:0:0", "core", 10)
    memory = zone(powercap, "intel-rapl:0:1", "dram", 999_000)
    with EnergyMeter() as measuring:
        package.write_text("2000100")
        core.write_text("1500010")
        memory.write_text("499000")  # it began again at a million
    assert measuring.measured.joules == {"package-0": 2.0, "dram of package-0": 0.5}
    assert measuring.measured.total == 2.5 and measuring.measured.note == ""


def test_a_platform_has_its_packages_in_it(powercap: Path) -> None:
    zone(powercap, "intel-rapl:0", "package-0", 100)
    platform = zone(powercap, "intel-rapl:1", "psys", 100)
    with EnergyMeter() as measuring:
        platform.write_text("3000100")
    assert measuring.measured.joules == {"psys": 3.0}


def test_a_counter_that_ends_often_is_read_often(powercap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "SAMPLE_EVERY", 0.001)
    package = zone(powercap, "intel-rapl:0", "package-0", 0)
    with EnergyMeter() as measuring:
        for _ in range(2):
            for count in (600_000, 200_000):
                package.write_text(str(count))
                while measuring._last["package-0"] != count:
                    pass
    assert measuring.measured.total == pytest.approx(2.2)


def test_a_machine_without_counters_says_so(powercap: Path) -> None:
    with EnergyMeter() as measuring:
        pass
    assert measuring.measured.total is None
    assert measuring.measured.note.startswith("not available here: no counters in")


def test_a_counter_for_root_alone_says_so(powercap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone(powercap, "intel-rapl:0", "package-0", 100)

    def refuse(counter: object) -> float:
        raise PermissionError

    monkeypatch.setattr(meter.EnergyCounter, "read", refuse)
    with EnergyMeter() as measuring:
        pass
    assert "is for root alone; sudo chmod a+r" in measuring.measured.note


def test_a_file_of_a_meter(powercap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = powercap / "joules.txt"
    monkeypatch.setenv(VARIABLE, str(file))
    with pytest.raises(NeurosimInputError, match="NEUROSIM_METER: must name a file"):
        EnergyMeter()
    file.write_text("12.5")
    with EnergyMeter() as measuring:
        file.write_text("20.0")
    assert measuring.measured.joules == {"joules.txt": 7.5}
    with EnergyMeter() as measuring:
        file.unlink()
    assert measuring.measured.note == f"{file} could not be read to the end"
