"""`neurosim live`: answers of a run to a file, packets, datagrams and a camera; delays, and what is dropped."""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from helpers.command import neurosim, refused, result_of

from neurosim import NeurosimError, Spikes
from neurosim.app.cli import main
from neurosim.app.live.delays import Delays
from neurosim.app.live.loop import Arrival, LiveTotals, Receiver, answers
from neurosim.app.live.models import LiveModel, open_model
from neurosim.app.live.page import LivePage, picture
from neurosim.app.live.sources import Datagrams, LiveCamera, Source, collect, open_source
from neurosim.app.runs.frame.folder import open_run
from neurosim.app.runs.liquid.adapted import open_liquid
from neurosim.base import NeurosimInputError
from neurosim.data import PacketWriter, write
from neurosim.data.recordings import Recordings

SHAPE = (2, 6, 8)
SIZE = 96
DURATION = 0.2


def recording(label: int, seed: int) -> Spikes:
    """Events in the left or the right half of the sensor."""
    rng = np.random.default_rng(seed)
    n = 120
    x = rng.integers(0, 4, n) + 4 * label
    units = (rng.integers(0, 2, n) * 6 + rng.integers(0, 6, n)) * 8 + x
    # The first event is at 0, so that a file starts where the recording does.
    times = np.sort(np.append(0, rng.integers(1, round(DURATION * 1e6), n - 1))) * 1e-6
    return Spikes(times, units, SIZE, DURATION, SHAPE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a liquid on two classes of recordings."""
    root = tmp_path_factory.mktemp("live")
    for k in range(20):
        name = ("left", "right")[k % 2]
        (root / "own" / name).mkdir(parents=True, exist_ok=True)
        write(root / "own" / name / f"{k}.csv", recording(k % 2, k))
    settings = ["--set", "liquid.neurons=80", "--set", "liquid.in_degree=8", "--threads", "1"]
    result_of("simulate", root / "own", *settings, "--out", root / "run")
    return root / "run"


def lines_of(*words: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the answers and the summary that `neurosim live WORDS` prints."""
    lines = [json.loads(line) for line in neurosim("live", *words, "--quiet").stdout.splitlines()]
    return lines[:-1], lines[-1]["summary"]


def test_a_recorded_stream(run: Path, tmp_path: Path) -> None:
    spikes = recording(1, 99)
    write(tmp_path / "a.raw", spikes)
    told, summary = lines_of(tmp_path / "a.raw", "--model", run, "--speed", "0", "--window", DURATION)
    assert [line["t"] for line in told] == pytest.approx(np.arange(1, 11) * 0.02)
    assert sum(line["events"] for line in told) == summary["events"] == 120
    assert told[-1]["label"] == "right" and told[-1]["dropped_packets"] == summary["dropped_packets"] == 0
    assert set(summary["event_to_answer_s"]) == set(summary["packet_to_answer_s"]) == {"p50", "p95", "p99", "max"}
    # The last answer looks at all of the recording: it is the answer to the recording.
    _, _, liquid, readout = open_liquid(open_run(run))
    batch = Recordings.collect([spikes])
    whole = readout.scores(liquid.run(batch, threads=1).recordings("liquid"))[0]
    assert told[-1]["scores"] == pytest.approx(whole, abs=1e-3)


def test_groups_of_the_sensor_are_read_as_by_the_run(run: Path, tmp_path: Path) -> None:
    settings = ["--set", "liquid.neurons=20", "--set", "liquid.in_degree=4", "--set", "liquid.input_groups=12"]
    result_of("simulate", run.parent / "own", *settings, "--threads", "1", "--out", tmp_path / "groups")
    spikes = recording(1, 99)
    write(tmp_path / "a.raw", spikes)
    told, _ = lines_of(tmp_path / "a.raw", "--model", tmp_path / "groups", "--speed", "0", "--window", DURATION)
    _, _, liquid, readout = open_liquid(open_run(tmp_path / "groups"))
    batch = Recordings.collect([spikes])
    whole = readout.scores(liquid.read(liquid.run(batch, threads=1).recordings("liquid"), batch))[0]
    assert told[-1]["scores"] == pytest.approx(whole, abs=1e-3)


def test_a_file_at_its_pace(run: Path, tmp_path: Path) -> None:
    write(tmp_path / "a.raw", recording(0, 98))
    began = time.monotonic()
    told, summary = lines_of(tmp_path / "a.raw", "--model", run, "--max-behind", "30")
    assert time.monotonic() - began > DURATION and told[-1]["label"] == "left"
    # An event waits for its packet: at most 20 ms longer than the packet for its answer.
    packet = summary["packet_to_answer_s"]
    event = summary["event_to_answer_s"]
    assert 0 < packet["max"] <= event["max"] <= packet["max"] + 0.021 and event["p50"] >= packet["p50"]


def test_packets_on_standard_input(run: Path) -> None:
    data = io.BytesIO()
    writer = PacketWriter(data, SIZE)
    spikes = recording(1, 97)
    for k in range(10):
        part = spikes.window(k * 0.02, (k + 1) * 0.02)
        writer.write(Spikes(part.times, part.units, SIZE, 0.02, SHAPE))
    result = CliRunner().invoke(
        main, ["live", "-", "--model", str(run), "--quiet"], input=data.getvalue(), catch_exceptions=False
    )
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(told) == 11 and told[-1]["summary"]["events"] == 120 and told[-2]["label"] == "right"
    assert told[-1]["summary"]["dropped_packets"] == 0


def words(spikes: Spikes) -> np.ndarray:
    p, y, x = spikes.coordinates()
    return (1 << 31 | x << 16 | p << 15 | y).astype("<u4")


def test_datagrams_are_packets() -> None:
    poll = Datagrams("127.0.0.1", 0, SHAPE)
    spikes = recording(0, 5)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(words(spikes).tobytes(), ("127.0.0.1", poll.port))
    # A word without bit 31, and its time; a word outside the sensor; a part of a word.
    sender.sendto(struct.pack("<IIIH", 3 << 16 | 1 << 15 | 2, 77, 1 << 31 | 8 << 16, 9), ("127.0.0.1", poll.port))
    sender.sendto(b"", ("127.0.0.1", poll.port))
    sender.close()
    packets = list(collect(poll, 0.05))
    units = np.concatenate([packet.units for packet in packets])
    assert units.tolist() == [*spikes.units.tolist(), (6 + 2) * 8 + 3] and poll.outside == 1
    for packet in packets:
        Spikes(packet.times, packet.units, packet.size, packet.duration, packet.shape)
    with pytest.raises(NeurosimInputError, match="must read udp://HOST:PORT"):
        open_source("udp://3333", SHAPE, 0.02, {})


def test_a_table_whose_events_leave_the_last_pixels_dark_has_the_sensor_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "corner.csv"
    path.write_text("t,x,y,p\n0.0,1,2,1\n0.03,3,2,0\n")
    packets = list(open_source(str(path), SHAPE, 0.02, {}).packets)
    assert [packet.shape for packet in packets] == [SHAPE, SHAPE]
    assert [packet.units.tolist() for packet in packets] == [[48 + 2 * 8 + 1], [2 * 8 + 3]]
    with pytest.raises(NeurosimInputError, match="must have the sensor of the model"):
        next(open_source(str(path), SHAPE, 0.02, {}, (2, 4, 4)).packets)


class FakeEvents:
    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def numpy(self) -> np.ndarray:
        return self.table


class FakeCamera:
    """A camera with the methods of dv-processing: two batches, then it is unplugged."""

    def __init__(self) -> None:
        kind = [("timestamp", "<i8"), ("x", "<i2"), ("y", "<i2"), ("polarity", "u1")]
        # The reader has nothing for a while.
        self.batches: list[FakeEvents | None] = [None] * 20
        self.batches += [
            FakeEvents(np.array([(10**15, 1, 2, 1), (10**15 + 500, 7, 5, 0)], kind)),
            None,
            FakeEvents(np.array([(10**15 + 900, 0, 0, 0)], kind)),
        ]

    def isRunning(self) -> bool:
        return bool(self.batches)

    def getEventResolution(self) -> tuple[int, int]:
        return (8, 6)

    def getNextEventBatch(self) -> FakeEvents | None:
        return self.batches.pop(0)


def test_a_camera_is_packets() -> None:
    camera = LiveCamera(FakeCamera())
    assert camera.shape == SHAPE
    packets = list(collect(camera, 0.02))
    assert np.concatenate([p.units for p in packets]).tolist() == [(6 + 2) * 8 + 1, 5 * 8 + 7, 0]
    # Times are those of the camera: 0.5 ms lie between the first two.
    first = next(p for p in packets if len(p))
    assert np.diff(first.times)[0] == pytest.approx(5e-4, abs=1e-6)


class Slow(LiveModel):
    """A model that takes 50 ms a packet."""

    shape = SHAPE
    classes = ("a", "b")
    window = 0.1
    clock = 1e-3
    options: dict[str, Any] = {}  # noqa: RUF012 - as the contract has it

    def scores(self, packet: Spikes) -> np.ndarray:
        time.sleep(0.05)
        return np.array([0.0, 1.0])


def packets(count: int) -> Iterator[Spikes]:
    for _ in range(count):
        yield Spikes(np.array([0.001, 0.009]), [0, 1], SIZE, 0.01, SHAPE)


def test_late_packets_are_dropped_and_counted() -> None:
    totals = LiveTotals()
    receiver = Receiver(Source(packets(60), "recorded"), 1.0, 0.1)
    told = list(answers(Slow(), receiver, totals))
    assert totals.packets + totals.dropped_packets == 60 and totals.dropped_packets > 10
    assert totals.dropped_events == 2 * totals.dropped_packets and totals.events == 2 * totals.packets
    # Times go on, whatever was dropped; the last packet is answered.
    assert [answer.arrival.begin for answer in told] == pytest.approx([a.arrival.number * 0.01 for a in told])
    assert told[-1].arrival.number == 59
    assert sum(answer.dropped for answer in told) == totals.dropped_packets
    # None waits for much longer than the limit, its own answer and the one before it.
    assert totals.from_packet.largest < 1.0


@pytest.mark.parametrize(("pace", "speed"), [("recorded", 0.0), ("held", 1.0)])
def test_sources_that_can_wait_lose_nothing(pace: Any, speed: float) -> None:
    totals = LiveTotals()
    told = list(answers(Slow(), Receiver(Source(packets(8), pace), speed, 0.01), totals))
    assert len(told) == totals.packets == 8 and totals.dropped_packets == 0


def test_errors_of_a_source_reach_the_answers() -> None:
    def broken() -> Iterator[Spikes]:
        yield from packets(1)
        raise NeurosimError("the camera is gone")

    with pytest.raises(NeurosimError, match="the camera is gone"):
        list(answers(Slow(), Receiver(Source(broken(), "held"), 1.0, 1.0), LiveTotals()))


def test_packets_before_a_fault_are_answered() -> None:
    def breaks_off() -> Iterator[Spikes]:
        yield from packets(6)
        raise NeurosimError("the stream ends within its packet 6")

    totals = LiveTotals()
    with pytest.raises(NeurosimError, match="within its packet 6"):
        list(answers(Slow(), Receiver(Source(breaks_off(), "held"), 1.0, 1.0), totals))
    assert totals.packets == 6


def test_delays_by_hand() -> None:
    delays = Delays()
    assert delays.percentiles() == {}
    delays.add(np.arange(100) * 1e-3)
    told = delays.percentiles()
    assert told["p50"] == pytest.approx(0.0491, abs=2e-4) and told["p99"] == pytest.approx(0.0981, abs=2e-4)
    assert told["max"] == 0.099
    delays.add(np.array([1000.0, -1.0]))
    assert delays.percentiles()["max"] == 1000.0


def test_the_page_moves() -> None:
    page = LivePage(0, "left </script> right", ("left", "right"))
    try:
        url = f"http://127.0.0.1:{page.port}"
        html = urllib.request.urlopen(f"{url}/", timeout=10).read().decode()
        assert "left \\u003c/script> right" in html and "FACTS" not in html
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/other", timeout=10)
        stream = urllib.request.urlopen(f"{url}/answers", timeout=10)
        spikes = recording(1, 1)
        stop = threading.Event()

        def show() -> None:
            while not stop.is_set():
                page.show(spikes, {"t": 1.0, "label": "right"})
                time.sleep(0.01)

        thread = threading.Thread(target=show)
        thread.start()
        try:
            line = stream.readline().decode()
        finally:
            stop.set()
            thread.join()
        told = json.loads(line.removeprefix("data: "))
        assert told["label"] == "right" and told["picture"]["rows"] == 6
        counts = np.frombuffer(base64.b64decode(told["picture"]["counts"]), np.uint8)
        assert np.array_equal(counts, spikes.counts())
        with pytest.raises(NeurosimError, match=r"--page: port \d+ cannot be used"):
            LivePage(page.port, "", ())
    finally:
        page.close()


def test_pictures_are_pooled() -> None:
    units = np.array([0, 1, 200, 300 * 200 + 5])
    spikes = Spikes(np.zeros(4), units, 2 * 300 * 200, 0.1, (2, 300, 200))
    drawn = picture(spikes)
    assert (drawn["rows"], drawn["columns"]) == (75, 50)
    counts = np.frombuffer(base64.b64decode(str(drawn["counts"])), np.uint8).reshape(2, 75, 50)
    assert counts[0, 0, 0] == 3 and counts[1, 0, 1] == 1 and counts.sum() == 4
    assert picture(Spikes([0.0], [3], 5, 1.0))["columns"] == 5


def test_what_is_refused(run: Path, tmp_path: Path) -> None:
    write(tmp_path / "a.raw", Spikes([0.0], [0], 4000, 0.1, (2, 40, 50)))
    told = refused("live", tmp_path / "a.raw", "--model", run, "--quiet")
    assert "SOURCE: must have the sensor of the model, (2, 6, 8); crop or downsample it (got (2, 40, 50))" in told
    assert "--packet: must be a multiple of 0.001 s" in refused("live", "-", "--model", run, "--packet", "0.0015")
    assert "--speed: must be >= 0" in refused("live", "-", "--model", run, "--speed", "-1")
    assert "--window: must be > 0 s" in refused("live", "-", "--model", run, "--window", "0")
    assert "holds no run" in refused("live", "-", "--model", tmp_path)
    (run / "gains.safetensors").rename(tmp_path / "gains")
    try:
        assert "has no gains.safetensors; run it again" in refused("live", "-", "--model", run)
    finally:
        (tmp_path / "gains").rename(run / "gains.safetensors")


def test_networks_of_a_training_answer(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    settings = ["--set", "training.epochs=2", "--set", "network.hidden=[8]", "--set", "validation.fraction=0.0"]
    result_of("train", run.parent / "own", *settings, "--threads", "1", "--out", tmp_path / "net")
    model = open_model(tmp_path / "net", None, 1)
    assert model.shape == SHAPE and model.classes == ("left", "right")
    receiver = Receiver(Source(iter([recording(0, 4)]), "held"), 1.0, 1.0)
    told = list(answers(model, receiver, LiveTotals()))
    assert told[0].arrival == Arrival(0, 0.0, told[0].arrival.spikes, told[0].arrival.due)
    assert told[0].scores.shape == (2,) and np.isfinite(told[0].scores).all()
