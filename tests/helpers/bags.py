"""Bags of ROS with events of cameras, written by rosbags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurosim.data.files import ros

SHAPE = (30, 40)
START = 1_600_000_000


def write_packets(
    path: Path,
    kind: str,
    encoding: str,
    payloads: list[tuple[int, bytes]],
    *,
    big: bool = False,
    shape: tuple[int, int] = SHAPE,
) -> Path:
    """Write a bag with a message of event_camera_msgs for each time base and bytes; return its file."""
    from rosbags import rosbag1, rosbag2

    store: Any = ros._types()
    if kind == ".bag":
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore

        store = get_typestore(Stores.ROS1_NOETIC)
        store.register(get_types_from_msg(ros.PACKET_TEXT, ros.PACKET))
        writer: Any = rosbag1.Writer(path.with_suffix(".bag"))
    else:
        writer = rosbag2.Writer(path, version=8, storage_plugin=rosbag2.StoragePlugin.SQLITE3)
    types = store.types
    time = types["builtin_interfaces/msg/Time"]
    header = types["std_msgs/msg/Header"]
    serialize = store.serialize_ros1 if kind == ".bag" else store.serialize_cdr
    with writer:
        connection = writer.add_connection("/camera/events", ros.PACKET, typestore=store)
        for number, (base, data) in enumerate(payloads):
            first = {"seq": number} if kind == ".bag" else {}
            message = types[ros.PACKET](
                header=header(**first, stamp=time(sec=START + number, nanosec=0), frame_id="camera"),
                height=shape[0],
                width=shape[1],
                seq=number,
                time_base=base,
                encoding=encoding,
                is_bigendian=big,
                events=np.frombuffer(data, np.uint8),
            )
            writer.write(connection, (START + number) * 10**9, serialize(message, ros.PACKET))
    return path.with_suffix(".bag") if kind == ".bag" else next(path.glob(f"*{kind}"))


def write_arrays(
    path: Path,
    package: str,
    kind: str,
    table: np.ndarray,
    topics: tuple[str, ...] = ("/dvs/events",),
    *,
    shape: tuple[int, int] = SHAPE,
) -> Path:
    """Write a bag with messages of 40 events and one without any; return its file.

    Args:
        path: of the file without its suffix; of ROS 2, of the folder.
        package: of the messages.
        kind: ".bag", ".db3" or ".mcap".
        table: [n, 4] ns, x, y, polarity.
        topics: each of which has all events.
        shape: (height, width).
    """
    from rosbags import rosbag1, rosbag2

    store: Any = ros._types()
    if kind == ".bag":
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore

        store = get_typestore(Stores.ROS1_NOETIC)
        store.register(
            get_types_from_msg(ros.EVENT_TEXT.replace("builtin_interfaces/Time", "time"), f"{package}/msg/Event")
        )
        store.register(get_types_from_msg(ros.ARRAY_TEXT.format(package=package), f"{package}/msg/EventArray"))
        writer: Any = rosbag1.Writer(path.with_suffix(".bag"))
    else:
        plugin = rosbag2.StoragePlugin.MCAP if kind == ".mcap" else rosbag2.StoragePlugin.SQLITE3
        writer = rosbag2.Writer(path, version=8, storage_plugin=plugin)
    types = store.types
    time = types["builtin_interfaces/msg/Time"]
    header = types["std_msgs/msg/Header"]
    event = types[f"{package}/msg/Event"]
    array = types[f"{package}/msg/EventArray"]
    name = f"{package}/msg/EventArray"
    serialize = store.serialize_ros1 if kind == ".bag" else store.serialize_cdr
    with writer:
        for topic in topics:
            connection = writer.add_connection(topic, name, typestore=store)
            for number, part in enumerate([*np.array_split(table, max(len(table) // 40, 1)), table[:0]]):
                stamps = [time(sec=START + int(t) // 10**9, nanosec=int(t) % 10**9) for t in part[:, 0]]
                listed = [
                    event(x=int(x), y=int(y), ts=stamp, polarity=bool(p))
                    for (_, x, y, p), stamp in zip(part, stamps, strict=True)
                ]
                now = time(sec=START + number, nanosec=0)
                first = {"seq": number} if kind == ".bag" else {}
                message = array(
                    header=header(**first, stamp=now, frame_id="camera"), height=shape[0], width=shape[1], events=listed
                )
                writer.write(connection, (START + number) * 10**9, serialize(message, name))
    return path.with_suffix(".bag") if kind == ".bag" else next(path.glob(f"*{kind}"))
