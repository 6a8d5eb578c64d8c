"""Events of cameras in bags of ROS 1 (.bag) and ROS 2 (.db3, .mcap), read by the package rosbags."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.distribution import install
from ...base.errors import NeurosimError, NeurosimFormatError, NeurosimMissingError, lookup
from ...base.raw import format_error, printable, unreadable
from ..read_report import ReadReport
from ..spikes import Spikes
from .cameras import WordDecoder, open_evt3
from .decoding import FileEvents, Sensor, check_sensor

# An event as ROS 1 packs it: its time is seconds and nanoseconds.
EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])
# Messages of events; those of a bag of ROS 2 are declared here, for it may not declare them itself.
ARRAYS = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")
PACKET = "event_camera_msgs/msg/EventPacket"
EVENT_TEXT = "uint16 x\nuint16 y\nbuiltin_interfaces/Time ts\nbool polarity\n"
ARRAY_TEXT = "std_msgs/Header header\nuint32 height\nuint32 width\n{package}/Event[] events\n"
PACKET_TEXT = (
    "std_msgs/Header header\nuint32 height\nuint32 width\nuint64 seq\nuint64 time_base\nstring encoding\n"
    "bool is_bigendian\nuint8[] events\n"
)
METADATA = "metadata.yaml"
NANOSECOND = 1e-9


class EventMessage(NamedTuple):
    """Events of a message, and the sensor that it names.

    Attributes:
        shape: of the sensor.
        t: [n] int64, ns.
        x, y, p: [n] int64.
    """

    shape: Sensor
    t: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    p: NDArray[np.int64]


def read_ros(path: str | os.PathLike[str], shape: Sensor | None = None, population: str | None = None) -> Spikes:
    """Return the events of a topic of `EventArray` messages (dvs_msgs, prophesee_event_msgs) or `EventPacket` messages
    (event_camera_msgs, encodings mono and evt3) of a bag.

    Times count from the first event; `Spikes.report.start` is the time of the first event: of the clock of ROS, in
    packets of the clock of the camera.

    Args:
        path: of the bag; of ROS 2, one of its files beside `metadata.yaml`.
        shape: (2, height, width); None: as the messages say.
        population: name of the topic; None where one topic has events.

    Raises:
        NeurosimInputError: no such topic, or several with events and no name.
        NeurosimMissingError: no such file, or rosbags is not installed.
        NeurosimFormatError: not a bag, damaged, without events, another encoding, an event outside the sensor, or a
            time before that of the event before.
    """
    source = open_ros(path, shape, population)
    parts = list(source)
    times: NDArray[np.float64] = np.concatenate([np.empty(0), *(part.times for part in parts)])
    units = np.concatenate([np.empty(0, np.int32), *(part.units for part in parts)])
    last = float(times[-1]) if len(times) else 0.0
    return Spikes.unchecked(times, units, math.prod(source.shape), last, tuple(source.shape), source.report)


def open_ros(path: str | os.PathLike[str], shape: Sensor | None = None, population: str | None = None) -> BagSource:
    """Return the events of a bag message by message; the arguments are those of `read_ros`.

    Raises:
        NeurosimError: as `read_ros`.
    """
    if not os.path.isfile(path):
        raise unreadable(path, FileNotFoundError(2, "No such file or directory"))
    return BagSource(Path(path), shape, population)


class BagSource(FileEvents):
    """The events of a topic of a bag, message by message."""

    def __init__(self, path: Path, shape: Sensor | None, topic: str | None) -> None:
        self._path = path
        self._shape = shape
        self._topic = topic
        # The first messages, up to one that has events, say the sensor and time 0.
        self.shape = shape or (2, 1, 1)
        self._zero = 0
        for message in self._messages():
            self.shape = shape or message.shape
            if len(message.t):
                self._zero = int(message.t[0])
                break
        check_sensor(path, self.shape)
        self.report = ReadReport("ros", self._zero * NANOSECOND, NANOSECOND)

    def __iter__(self) -> Iterator[Spikes]:
        last = 0
        count = 0
        size = math.prod(self.shape)
        for message in self._messages():
            self._check(message, count, last)
            if len(message.t):
                count += len(message.t)
                last = int(message.t[-1])
                units = ((message.p * self.shape[1] + message.y) * self.shape[2] + message.x).astype(np.int32)
                times = np.asarray((message.t - self._zero) * NANOSECOND, np.float64)
                yield Spikes.unchecked(times, units, size, float(times[-1]), self.shape, self.report)

    def _check(self, message: EventMessage, count: int, last: int) -> None:
        """Raise for an event outside the sensor or before the event before it."""
        _, t, x, y, p = message
        outside = (x >= self.shape[2]) | (y >= self.shape[1]) | (p > 1)
        falls = np.diff(t, prepend=last) < 0
        wrong = outside | falls
        if not wrong.any():
            return
        at = int(np.argmax(wrong))
        where = f"event {count + at}"
        if outside[at]:
            got = f"x {x[at]}, y {y[at]}, polarity {p[at]}"
            expected = f"an event inside shape {self.shape}"
            raise format_error(self._path, where, expected, got, "give the sensor's shape=")
        step = "sort the messages of the bag by time"
        raise format_error(self._path, where, "times in ascending order", f"{t[at]} ns", step)

    def _messages(self) -> Iterator[EventMessage]:
        """Yield the messages of the topic in their order; errors of rosbags become those of this package."""
        path = self._path
        try:
            yield from self._decoded()
        except NeurosimError:
            raise
        except ImportError as error:
            raise NeurosimMissingError(f"{path}: bags of ROS need rosbags ({error}); run: {install('ros')}") from None
        except Exception as error:  # rosbags passes on errors of several libraries
            reason = printable(" ".join(str(error).split()))[:160] or type(error).__name__
            raise NeurosimFormatError(f"{path}: cannot be read as a bag of ROS ({reason}); fetch it again") from None

    def _decoded(self) -> Iterator[EventMessage]:
        """Yield the messages of the one topic of events."""
        from rosbags.highlevel import AnyReader

        path = self._path
        bag = path if path.suffix.lower() == ".bag" else path.parent
        if bag != path and not (bag / METADATA).is_file():
            raise NeurosimMissingError(f"{path}: needs {METADATA} beside it; write it: ros2 bag reindex {bag}")
        with AnyReader([bag], default_typestore=_types()) as reader:
            chosen = self._connection(reader.connections)
            packets = _Packets(path, self._shape) if chosen.msgtype == PACKET else None
            for connection, _, data in reader.messages(connections=[chosen]):
                # Both versions of ROS as the bytes of the first: one decoder serves them.
                if reader.is2:
                    message = bytes(reader.typestore.cdr_to_ros1(data, connection.msgtype))
                else:
                    message = bytes(data)
                yield _array(message) if packets is None else packets.decode(message)
            if packets is not None:
                self.report = packets.counted(self.report)

    def _connection(self, connections: Sequence[Any]) -> Any:
        """Return the connection of the topic that was named, or else of the only topic of events."""
        path = self._path
        topics = {each.topic: each for each in connections if each.msgtype in (*ARRAYS, PACKET)}
        if not topics:
            known = ", ".join(sorted({each.msgtype for each in connections})[:8]) or "no messages"
            expected = f"one of messages {', '.join(ARRAYS)} or {PACKET}"
            raise format_error(path, "topics", expected, known, "convert the bag")
        if self._topic is not None:
            chosen = lookup(topics, self._topic, "read.population")
        elif len(topics) > 1:
            raise format_error(path, "topics", "one with events", ", ".join(sorted(topics)), "name it: population=")
        else:
            chosen = next(iter(topics.values()))
        return chosen


class _Packets:
    """Decoder of `EventPacket` messages, whose state goes from one to the next.

    Source: github.com/ros-event-camera, event_camera_msgs and event_camera_codecs.
    """

    def __init__(self, path: Path, shape: Sensor | None) -> None:
        self._path = path
        self._shape = shape
        self._words: WordDecoder | None = None

    def decode(self, message: bytes) -> EventMessage:
        """Return the events of a message in the serialization of ROS 1."""
        # After the header: height, width, number of the packet, base of its times, encoding, byte order, bytes.
        at = _behind_header(message)
        height, width = np.frombuffer(message, "<u4", 2, at).tolist()
        _, base = np.frombuffer(message, "<u8", 2, at + 8).tolist()
        length = int.from_bytes(message[at + 24 : at + 28], "little")
        encoding = message[at + 28 : at + 28 + length].decode("ascii", "replace")
        at += 28 + length
        order = ">" if message[at] else "<"
        size = int.from_bytes(message[at + 1 : at + 5], "little")
        data = np.frombuffer(message, np.uint8, size, at + 5)
        shape = self._shape or (2, height, width)
        if encoding == "mono":
            return _mono(data.view(f"{order}u8").astype(np.uint64), base, shape)
        if encoding == "evt3":
            return self._evt3(data, shape)
        step = "record with the encoding evt3, or convert the messages to dvs_msgs"
        raise format_error(self._path, "encoding", "mono or evt3", repr(encoding[:40]), step)

    def counted(self, report: ReadReport) -> ReadReport:
        """Return a report with the events that were dropped or changed."""
        if self._words is None:
            return report
        final = self._words.final_report(None)
        return replace(report, skipped=final.skipped, changed=final.changed)

    def _evt3(self, data: NDArray[np.uint8], shape: Sensor) -> EventMessage:
        """Return the events of words of EVT3, which have the clock of the camera."""
        if self._words is None:
            # A word that is no text: packets have no header.
            self._words = open_evt3(self._path, np.zeros(2, np.uint8), shape)
        # The words of a message are complete.
        piece = self._words.decode(data, 0, data.size)
        if piece.error is not None:
            raise piece.error
        t = np.rint(piece.times * 1e6).astype(np.int64) * 1000
        rest, x = np.divmod(piece.units.astype(np.int64), shape[2])
        p, y = np.divmod(rest, shape[1])
        return EventMessage(shape=shape, t=t, x=x, y=y, p=p)


def _mono(words: NDArray[np.uint64], base: int, shape: Sensor) -> EventMessage:
    """Return the events of words of 64 bits: polarity, y (15 bits), x (16 bits), ns after `base` (32 bits)."""
    bits = words.astype(np.int64)
    t = base + (bits & 0xFFFFFFFF)
    return EventMessage(shape=shape, t=t, x=bits >> 32 & 0xFFFF, y=bits >> 48 & 0x7FFF, p=bits >> 63 & 1)


def _array(message: bytes) -> EventMessage:
    """Return the events of an `EventArray` message in the serialization of ROS 1."""
    at = _behind_header(message)
    height, width, count = np.frombuffer(message, "<u4", 3, at).tolist()
    events = np.frombuffer(message, EVENT, count, at + 12)
    t = events["s"].astype(np.int64) * 1_000_000_000 + events["ns"]
    x, y, p = (events[name].astype(np.int64) for name in ("x", "y", "p"))
    return EventMessage(shape=(2, height, width), t=t, x=x, y=y, p=p)


def _behind_header(message: bytes) -> int:
    """Return the byte after a header: sequence number and time (12 bytes), length of a name, the name of the frame."""
    return 16 + int.from_bytes(message[12:16], "little")


def _types() -> Any:
    """Return the types of messages of ROS 2, with those of events."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    for name in ARRAYS:
        package = name.split("/", maxsplit=1)[0]
        store.register(get_types_from_msg(EVENT_TEXT, f"{package}/msg/Event"))
        store.register(get_types_from_msg(ARRAY_TEXT.format(package=package), name))
    store.register(get_types_from_msg(PACKET_TEXT, PACKET))
    return store
