"""Sources of live events, as packets of equal length: a file, a stream of packets, datagrams, a camera.

Files and streams have times of their own. Datagrams and cameras are cut by the clock of this machine: a packet holds
the events that arrived while it lasted.
"""

from __future__ import annotations

import math
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...base.distribution import install
from ...base.errors import NeurosimError, NeurosimMissingError, require
from ...data.files.formats import ReadOptions, find_format
from ...data.files.packets import read_packets
from ...data.files.pieces import stream
from ...data.filters import EventFilter
from ...data.spikes import Spikes

STDIN = "-"
UDP = "udp://"
CAMERA = "dv:"
# Formats in which most files do not state their sensor: without its shape, it is the smallest that holds the events.
UNSTATED = frozenset({"camera-hdf5", "csv", "matlab", "numpy"})
# Words of a datagram of events: bit 31 tells that no time follows, x from bit 16, polarity in bit 15, y from bit 0.
NO_TIME = 1 << 31
# Largest datagram.
DATAGRAM = 1 << 16
# Pause between two questions to a camera that has no events, s.
PAUSE = 5e-4


class Source(NamedTuple):
    """A source of packets.

    Attributes:
        packets: of the events, in order.
        pace: "recorded", of a file, whose packets are due by their own times; "held", of a writer that waits for its
            reader; "arriving", of a source that waits for nobody.
    """

    packets: Iterator[Spikes]
    pace: Literal["recorded", "held", "arriving"]


class ArrivedEvents(NamedTuple):
    """Events that arrived: times on the clock of this machine, s, and units."""

    times: NDArray[np.float64]
    units: NDArray[np.int32]


class EventReader(Protocol):
    """Camera or server as dv-processing has them, `dv.io.camera.open()` and `dv.io.NetworkReader`."""

    def isRunning(self) -> bool: ...
    def getEventResolution(self) -> Any: ...
    def getNextEventBatch(self) -> Any: ...


def open_source(
    name: str, shape: tuple[int, ...], packet: float, options: dict[str, Any], sensor: tuple[int, ...] | None = None
) -> Source:
    """Return a source by its name: a file, `STDIN`, udp://HOST:PORT, dv: or dv://HOST:PORT.

    Args:
        name: of the source.
        shape: that the model takes.
        packet: s.
        options: for `files.read`; of live sources the filters among them.
        sensor: shape of the sensor of datagrams, and of files that state none, before the filters; None: `shape`.

    Raises:
        NeurosimInputError: a name that is none of these, or a sensor of another shape.
        NeurosimMissingError: no such file, or no package dv_processing.
    """
    filters = EventFilter(**{key: options.get(key) for key in ("crop", "noise_filter", "downsample", "refractory")})
    if name == STDIN:
        return Source(_checked(read_packets(sys.stdin.buffer), shape), "held")
    if name.startswith(UDP):
        host, port = endpoint_of(name.removeprefix(UDP), name)
        poll: Datagrams | LiveCamera = Datagrams(host, port, sensor or shape)
    elif name.startswith(CAMERA):
        poll = LiveCamera(open_camera(name.removeprefix(CAMERA)))
    else:
        # A run may have read files of several formats.
        allowed = vars(ReadOptions(**options).where_allowed(name))
        reading = {key: value for key, value in allowed.items() if value is not None}
        known = sensor
        if known is None and not filters:
            known = shape
        if known is not None and find_format(name, reading.get("format")) in UNSTATED:
            reading.setdefault("shape", known)
        return Source(_checked(stream(name, packet, **reading), shape), "recorded")
    packets = collect(poll, packet)
    if filters:
        state = filters.start(poll.shape)
        packets = (state.apply(spikes) for spikes in packets)
    return Source(_checked(packets, shape), "arriving")


def endpoint_of(text: str, name: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT; `name` of the source is for the error."""
    host, _, port = text.rpartition(":")
    good = host and port.isdecimal() and int(port) < 1 << 16
    require(bool(good), "SOURCE", "must read udp://HOST:PORT or dv://HOST:PORT, e.g. udp://127.0.0.1:3333", name)
    return host.strip("[]"), int(port)


def _checked(packets: Iterator[Spikes], shape: tuple[int, ...]) -> Iterator[Spikes]:
    """Yield packets with the shape of the model; streams of packets know the number of their units only."""
    size = math.prod(shape)
    for spikes in packets:
        fits = spikes.size == size and (len(spikes.shape) < 2 or spikes.shape == shape)
        require(fits, "SOURCE", f"must have the sensor of the model, {shape}; crop or downsample it", spikes.shape)
        yield Spikes.unchecked(spikes.times, spikes.units, size, spikes.duration, shape)


class Datagrams:
    """Events in datagrams of UDP, in words of 32 bits, little-endian, as SPIF and AEStream send them.

    A word holds x from bit 16, polarity in bit 15, y from bit 0. Without bit 31 a word with a time follows, which is
    skipped: an event has the time of its arrival. An empty datagram ends the stream.

    Attributes:
        shape: of the sensor.
        port: that it listens on.
        outside: number of events outside the sensor, which are dropped.
    """

    def __init__(self, host: str, port: int, shape: tuple[int, ...]) -> None:
        """Listen.

        Raises:
            NeurosimError: the port cannot be listened on.
        """
        require(len(shape) == 3, "SOURCE", "must be of a camera (polarities, height, width) for datagrams", shape)
        self.shape = shape
        self.outside = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            # Room for what arrives while the interpreter is busy elsewhere.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise NeurosimError(f"udp://{host}:{port}: cannot be listened on ({error.strerror or error})") from None
        self.port = int(self._socket.getsockname()[1])

    def __call__(self, timeout: float) -> ArrivedEvents | None:
        """Return the events of the next datagram, none after `timeout` s; None at the end of the stream."""
        self._socket.settimeout(max(timeout, 1e-4))
        try:
            data = self._socket.recv(DATAGRAM)
        except TimeoutError:
            return ArrivedEvents(np.empty(0), np.empty(0, np.int32))
        if not data:
            self._socket.close()
            return None
        units = self._units(np.frombuffer(data, "<u4", len(data) // 4))
        return ArrivedEvents(np.full(len(units), time.monotonic()), units)

    def _units(self, words: NDArray[np.uint32]) -> NDArray[np.int32]:
        if not (words & NO_TIME).all():
            words = _without_times(words)
        x = (words >> 16 & 0x7FFF).astype(np.int64)
        y = (words & 0x7FFF).astype(np.int64)
        p = (words >> 15 & 1).astype(np.int64)
        polarities, height, width = self.shape
        inside = (x < width) & (y < height) & (p < polarities)
        self.outside += int(np.count_nonzero(~inside))
        return np.asarray(((p * height + y) * width + x)[inside], np.int32)


def _without_times(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the words of events; one without bit 31 is followed by a time."""
    events = []
    k = 0
    listed = words.tolist()
    while k < len(listed):
        events.append(listed[k])
        k += 1 if listed[k] & NO_TIME else 2
    return np.array(events, np.uint32)


def open_camera(endpoint: str) -> EventReader:
    """Return the first camera that dv-processing finds; with an endpoint //HOST:PORT the server of events there.

    Raises:
        NeurosimMissingError: no package dv_processing.
        NeurosimError: no camera, or no server.
    """
    try:
        import dv_processing as dv
    except ImportError:
        raise NeurosimMissingError(f"dv: needs dv-processing; run: {install('camera')}") from None
    try:
        if endpoint:
            reader: EventReader = dv.io.NetworkReader(*endpoint_of(endpoint.removeprefix("//"), f"{CAMERA}{endpoint}"))
        else:
            reader = dv.io.camera.open()
    except RuntimeError as error:
        raise NeurosimError(f"{CAMERA}{endpoint}: {error}; check the cable or the server") from None
    return reader


class LiveCamera:
    """Events of a reader of dv-processing; times are those of the camera, on the clock of this machine.

    Attributes:
        shape: of the sensor.
    """

    def __init__(self, reader: EventReader) -> None:
        width, height = reader.getEventResolution()
        self.shape = (2, int(height), int(width))
        self._reader = reader
        # Clock of this machine at time 0 of the camera: the earliest arrival is the one with the least delay.
        self._zero = math.inf

    def __call__(self, timeout: float) -> ArrivedEvents | None:
        """Return the events of the next batch, none after `timeout` s; None after the end of the camera."""
        end = time.monotonic() + timeout
        while True:
            if not self._reader.isRunning():
                return None
            events = self._reader.getNextEventBatch()
            now = time.monotonic()
            if events is not None and len(events):
                break
            if now >= end:
                return ArrivedEvents(np.empty(0), np.empty(0, np.int32))
            time.sleep(min(PAUSE, end - now))
        table = events.numpy()
        times = table["timestamp"].astype(np.float64) * 1e-6
        # The last event of a batch arrived now at the latest, so now minus its time bounds the camera's time 0 from
        # above.
        self._zero = min(self._zero, now - times[-1])
        _, height, width = self.shape
        places = table["y"].astype(np.int64) * width + table["x"]
        units = table["polarity"].astype(np.int64) * height * width + places
        return ArrivedEvents(times + self._zero, units.astype(np.int32))


def collect(poll: Datagrams | LiveCamera, packet: float) -> Iterator[Spikes]:
    """Yield what arrives as packets of `packet` s, also empty ones, each as soon as its time is over.

    An event that comes later than its packet is put at the start of the present one.
    """
    size = math.prod(poll.shape)
    begin = time.monotonic()
    number = 0
    batches: list[ArrivedEvents] = []
    ended = False
    while not ended:
        end = begin + (number + 1) * packet
        while (left := end - time.monotonic()) > 0:
            batch = poll(left)
            if batch is None:
                ended = True
                break
            if len(batch.times):
                batches.append(batch)
        if ended and not batches:
            return
        times = np.concatenate([np.empty(0), *(batch.times for batch in batches)])
        units = np.concatenate([np.empty(0, np.int32), *(batch.units for batch in batches)])
        # Late events come to the start of this packet; those that the camera's clock puts ahead of now, to its end.
        local = np.clip(times - (begin + number * packet), 0.0, packet)
        order = np.argsort(local, kind="stable")
        yield Spikes.unchecked(local[order], units[order], size, packet, poll.shape)
        batches = []
        number += 1
