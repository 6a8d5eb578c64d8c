"""Networks that run as packets come: the spikes of one run, back-pressure, loops, streams that break."""

from __future__ import annotations

import io
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from neurosim import LIF, FixedProbability, Network, PoissonInput, Population, Projection, Spikes, SpikeSource, simulate
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimWriteError
from neurosim.data.files.packets import PacketWriter, read_packets
from neurosim.engine import live, response

SIZE = 20
PACKET = 0.01


def network() -> Network:
    return Network(
        [Population("in", SIZE, SpikeSource()), Population("x", 30, LIF())],
        [
            Projection("in", "x", FixedProbability(0.5), 0.4, 2e-3),
            Projection("x", "x", FixedProbability(0.2), 0.1, 12e-3),
        ],
        [PoissonInput("x", 100.0, 0.2)],
    )


def recording(seconds: float = 0.3) -> Spikes:
    rng = np.random.default_rng(5)
    count = int(seconds * 1000)
    return Spikes(np.sort(rng.random(count)) * seconds, rng.integers(0, SIZE, count), SIZE, seconds)


def cut(spikes: Spikes) -> list[Spikes]:
    return [spikes.window(k * PACKET, (k + 1) * PACKET) for k in range(round(spikes.duration / PACKET))]


def test_packets_give_the_spikes_of_one_run() -> None:
    whole = simulate(network(), recording()).spikes["x"]
    results = list(live(network(), cut(recording())))
    assert len(results) == 30 and len(whole) > 100
    for part in ("times", "units"):
        joined = np.concatenate([getattr(result.spikes["x"], part) for result in results])
        np.testing.assert_allclose(joined, getattr(whole, part), atol=1e-12)
    late = response(results[7], "x")
    assert late.duration == pytest.approx(PACKET) and late.times.min() >= 0 and late.times.max() < PACKET
    np.testing.assert_allclose(late.times, results[7].spikes["x"].times - 0.07, atol=1e-12)  # type: ignore[union-attr]


def test_a_function_in_the_place_of_a_network_is_named() -> None:
    with pytest.raises(NeurosimInputError, match=r"live.network: must be a Network; call the function .*got network"):
        next(live(network, cut(recording())))  # type: ignore[arg-type]
    with pytest.raises(NeurosimInputError, match=r"live.network: must be a Network \(got 5\)"):
        next(live(5, cut(recording())))  # type: ignore[arg-type]


def test_a_packet_is_asked_for_when_its_result_is() -> None:
    asked: list[int] = []

    def packets() -> Iterator[Spikes]:
        for k, packet in enumerate(cut(recording())):
            asked.append(k)
            yield packet

    results = live(network(), packets())
    for k in range(5):
        next(results)
        assert asked == list(range(k + 1))


def test_a_source_may_depend_on_the_results() -> None:
    """One spike goes round and round: what unit 0 of x fires comes back with the next packet."""
    loop = Network(
        [Population("in", 1, SpikeSource()), Population("x", 1, LIF())],
        [Projection("in", "x", FixedProbability(1.0), 2.0)],
    )
    back = [Spikes([0.004], [0], 1, PACKET)]
    times = []
    for result in live(loop, (back.pop() for _ in range(5))):
        back.append(response(result, "x"))
        times += result.spikes["x"].times.tolist()  # type: ignore[union-attr]
    np.testing.assert_allclose(times, [0.005, 0.016, 0.027, 0.038, 0.049])


def test_streams_carry_packets_both_ways_and_hold_their_writer_back() -> None:
    here, there = socket.socketpair()
    for end in (here, there):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    written: list[int] = []
    busy = [Spikes(np.linspace(0, PACKET, 4000), np.zeros(4000, np.int32), SIZE, PACKET)] * 20

    def send() -> None:
        writer = PacketWriter(there.makefile("wb"), SIZE)
        for k, packet in enumerate(busy):
            writer.write(packet)
            written.append(k)
        there.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    read = 0
    for packet in read_packets(here.makefile("rb"), SIZE):
        if read == 0:
            time.sleep(0.05)
        read += 1
        assert len(written) <= read + 3  # 48 kB each: little more than one lies in the buffers
        np.testing.assert_array_equal(packet.times, busy[0].times)
    sender.join()
    assert read == 20
    there.close()
    here.close()


def test_a_pipe_carries_the_spikes_on() -> None:
    source, sink = os.pipe()
    with os.fdopen(sink, "wb") as out:
        writer = PacketWriter(out, 30)
        sent = [response(result, "x") for result in live(network(), cut(recording(0.1)))]
        for spikes in sent:
            writer.write(spikes)
    with os.fdopen(source, "rb") as back:
        found = list(read_packets(back))
    assert [spikes.digest() for spikes in found] == [spikes.digest() for spikes in sent]


def test_a_closed_stream_is_said() -> None:
    here, there = socket.socketpair()
    writer = PacketWriter(there.makefile("wb"), SIZE)
    here.close()
    with pytest.raises(NeurosimWriteError, match="packets: the stream cannot be written to"):
        for packet in cut(recording()):
            writer.write(packet)
    there.close()


def stream(*parts: bytes) -> io.BytesIO:
    return io.BytesIO(b"".join(parts))


HEAD = struct.pack("<4sII", b"NSPK", 1, 3)
EVENT = struct.pack("<IIddi", 1, 0, 0.01, 0.005, 2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (stream(b""), r"the stream ends within its header, after 0 of 12 bytes"),
        (stream(b"RIFFxxxxxxxx"), r"must begin with NSPK \(got b'RIFF'\); write them with neurosim.data.Packet"),
        (stream(b"NSPKxxxxxxxx"), r"must begin with NSPK, version 1, 3 units \(got b'NSPK', version \d+"),
        (stream(struct.pack("<4sII", b"NSPK", 1, 4)), r"must begin with .*, 3 units \(got .* 4 units\)"),
        (stream(HEAD, EVENT[:9]), r"the stream ends within its packet 0, after 9 of 16 bytes"),
        (stream(HEAD, EVENT, EVENT[:20]), r"the stream ends within its packet 1, after 4 of 12 bytes"),
        (stream(HEAD, struct.pack("<IId", 2**31, 0, 0.01)), r"packet 0 must hold <= 1048576 events in > 0 s"),
        (stream(HEAD, struct.pack("<IId", 0, 0, float("nan"))), r"packet 0 must hold .* \(got 0 in nan s\)"),
        (stream(HEAD, struct.pack("<IIddi", 1, 0, 0.01, 0.02, 2)), r"packet 0 must hold ascending times within 0.01 s"),
        (stream(HEAD, struct.pack("<IIddi", 1, 0, 0.01, 0.0, 3)), r"packet 0 must hold .* and units below 3"),
    ],
)  # fmt: skip
def test_streams_that_are_none_are_refused(data: io.BytesIO, message: str) -> None:
    with pytest.raises(NeurosimFormatError, match=message):
        list(read_packets(data, 3))


@pytest.mark.parametrize(
    ("packets", "message"),
    [
        (
            [Spikes([], [], SIZE, 0.0015)],
            r"live.packets\['in'\]: packet 0: must last a whole number of steps of 0.001 s",
        ),
        ([3], r"live.packets\['in'\]: must yield Spikes \(got int\)"),
        ([Spikes([], [], 3, 0.01)], r"must have the population's 20 units \(got 3\)"),
        ({"eye": []}, r"population 'in' is a SpikeSource and has no recording"),
    ],
)
def test_what_is_no_packet_is_named(packets: object, message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        list(live(network(), packets))  # type: ignore[arg-type]
