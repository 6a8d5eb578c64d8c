"""Events of cameras in bags of ROS 1 (.bag) and ROS 2 (.db3, .mcap), read by the package rosbags."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimError, NeurosimFormatError, NeurosimMissingError, lookup
from ...base.raw import format_error, printable, unreadable
from ..read_report import ReadReport
from ..spikes import Spikes
from .decoding import Sensor, build_spikes, check_sensor

# An event as ROS 1 packs it: its time is seconds and nanoseconds.
EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])
# Messages with arrays of events; those of a bag of ROS 2 are declared here, for it does not declare them itself.
ARRAYS = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")
EVENT_TEXT = "uint16 x\nuint16 y\nbuiltin_interfaces/Time ts\nbool polarity\n"
ARRAY_TEXT = "std_msgs/Header header\nuint32 height\nuint32 width\n{package}/Event[] events\n"
INSTALL = "bags of ROS need rosbags ({error}); run: pip install 'neurosim-spiking[ros]'"
METADATA = "metadata.yaml"
NANOSECOND = 1e-9


class EventMessage(NamedTuple):
    """Events of a message, and the sensor that it names."""

    shape: Sensor
    events: NDArray


def read_ros(path: str | os.PathLike[str], shape: Sensor | None = None, population: str | None = None) -> Spikes:
    """Return the events of a topic of `EventArray` messages (dvs_msgs, prophesee_event_msgs) of a bag.

    Times count from the first event; `Spikes.report.start` is the time of the first event.

    Args:
        path: of the bag; of ROS 2, one of its files beside `metadata.yaml`.
        shape: (2, height, width); None: as the messages say.
        population: name of the topic; None where one topic has events.

    Raises:
        NeurosimInputError: no such topic, or several with events and no name.
        NeurosimMissingError: no such file, or rosbags is not installed.
        NeurosimFormatError: not a bag, damaged, without events, an event outside the sensor, or a time before that of
            the event before.
    """
    if not os.path.isfile(path):
        raise unreadable(path, FileNotFoundError(2, "No such file or directory"))
    try:
        messages = list(_messages(Path(path), population))
    except NeurosimError:
        raise
    except ImportError as error:
        raise NeurosimMissingError(f"{path}: {INSTALL.format(error=error)}") from None
    except Exception as error:  # rosbags passes on errors of several libraries
        reason = printable(" ".join(str(error).split()))[:160] or type(error).__name__
        raise NeurosimFormatError(f"{path}: cannot be read as a bag of ROS ({reason}); fetch it again") from None
    sensor = shape or (messages[0].shape if messages else (2, 1, 1))
    check_sensor(path, sensor)
    events = np.concatenate([np.empty(0, EVENT), *(message.events for message in messages)])
    x, y, p = (events[name].astype(np.int64) for name in ("x", "y", "p"))
    t = events["s"].astype(np.int64) * 1_000_000_000 + events["ns"]
    outside = (x >= sensor[2]) | (y >= sensor[1]) | (p > 1)
    falls = np.diff(t, prepend=t[:1]) < 0
    if np.any(outside | falls):
        at = int(np.argmax(outside | falls))
        if outside[at]:
            got = f"x {x[at]}, y {y[at]}, polarity {p[at]}"
            raise format_error(path, f"event {at}", f"an event inside shape {sensor}", got, "give the sensor's shape=")
        step = "sort the messages of the bag by time"
        raise format_error(path, f"event {at}", "times in ascending order", f"{t[at]} ns", step)
    first = int(t[0]) if len(t) else 0
    units = ((p * sensor[1] + y) * sensor[2] + x).astype(np.int32)
    return build_spikes((t - first) * NANOSECOND, units, sensor, ReadReport("ros", first * NANOSECOND, NANOSECOND))


def _messages(path: Path, topic: str | None) -> Iterator[EventMessage]:
    """Yield the messages of a topic in their order."""
    from rosbags.highlevel import AnyReader

    bag = path if path.suffix.lower() == ".bag" else path.parent
    if bag != path and not (bag / METADATA).is_file():
        raise NeurosimMissingError(f"{path}: needs {METADATA} beside it; write it: ros2 bag reindex {bag}")
    with AnyReader([bag], default_typestore=_types()) as reader:
        topics = {each.topic: each for each in reader.connections if each.msgtype in ARRAYS}
        if not topics:
            known = ", ".join(sorted({each.msgtype for each in reader.connections})[:8]) or "no messages"
            raise format_error(path, "topics", f"one of messages {' or '.join(ARRAYS)}", known, "convert the bag")
        if topic is None and len(topics) > 1:
            raise format_error(path, "topics", "one with events", ", ".join(sorted(topics)), "name it: population=")
        if topic is None:
            topic = next(iter(topics))
        chosen = lookup(topics, topic, "read.population")
        for connection, _, data in reader.messages(connections=[chosen]):
            if reader.is2:
                yield _message(bytes(reader.typestore.cdr_to_ros1(data, connection.msgtype)))
            else:
                yield _message(bytes(data))


def _message(data: bytes) -> EventMessage:
    """Return the events of an EventArray message in the serialization of ROS 1."""
    # Header: sequence number and time (12 bytes), length of the name of the frame, its text.
    at = 16 + int.from_bytes(data[12:16], "little")
    height, width, count = np.frombuffer(data, "<u4", 3, at).tolist()
    return EventMessage((2, height, width), np.frombuffer(data, EVENT, count, at + 12))


def _types() -> Any:
    """Return the types of messages of ROS 2, with those of `ARRAYS`."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    for name in ARRAYS:
        package = name.split("/", maxsplit=1)[0]
        store.register(get_types_from_msg(EVENT_TEXT, f"{package}/msg/Event"))
        store.register(get_types_from_msg(ARRAY_TEXT.format(package=package), name))
    return store
