"""AEDAT4 files written byte by byte, from the FlatBuffers schemas of dv-processing."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

Event = tuple[int, int, int, int]
UNIX = 1_600_000_000_000_000


def made(n: int, last: int = 900_000, seed: int = 0) -> list[Event]:
    rng = np.random.default_rng(seed)
    columns = (np.sort(rng.integers(0, last, n)), *(rng.integers(0, k, n) for k in (2, 260, 346)))
    return list(zip(*(c.tolist() for c in columns), strict=True))


def flatbuffer(kind: bytes, fields: list[bytes], tail: bytes) -> bytes:
    """Return a FlatBuffer of one table whose last field is an offset to `tail`."""
    offsets = []
    at = 4
    for field in fields:
        at = -(-at // len(field)) * len(field)
        offsets.append(at)
        at += len(field)
    layout = struct.pack(f"<{2 + len(fields)}H", 4 + 2 * len(fields), at, *offsets)
    start = -(-(8 + len(layout)) // 8) * 8
    body = bytearray(at)
    struct.pack_into("<i", body, 0, start - 8)
    for offset, field in zip(offsets, fields, strict=True):
        body[offset : offset + len(field)] = field
    end = start + at
    place = -(-(end + 4) // 8) * 8 - 4
    struct.pack_into("<I", body, offsets[-1], place - start - offsets[-1])
    return (
        (struct.pack("<I", start) + kind + layout).ljust(start, b"\0") + bytes(body).ljust(place - start, b"\0") + tail
    )


def packet(events: list[Event]) -> bytes:
    data = b"".join(struct.pack("<qhhB3x", UNIX + t, x, y, p) for t, p, y, x in events)
    whole = flatbuffer(b"EVTS", [bytes(4)], struct.pack("<I", len(events)) + data)
    return struct.pack("<I", len(whole)) + whole


def lz4_frame(data: bytes, block: int = 1 << 16, stored: bool = False, flags: int = 0x60) -> bytes:
    """Return an LZ4 frame whose blocks are literals, then for data of zeros repetitions."""
    out = struct.pack("<IBB", 0x184D2204, flags, 0x40) + (bytes(8) if flags & 8 else b"") + b"\0"
    for at in range(0, len(data), block):
        part = data[at : at + block]
        if stored:
            out += struct.pack("<I", len(part) | 1 << 31) + part
        else:
            length = len(part)
            head = bytes([min(length, 15) << 4])
            more = length - 15
            while more >= 0:
                head += bytes([min(more, 255)])
                more -= 255
            out += struct.pack("<I", len(head) + length) + head + part
        out += bytes(4) if flags & 0x10 else b""
    return out + struct.pack("<I", 0)


def identity(data: bytes) -> bytes:
    return data


XML = '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">{}</node></dv>'.format
STREAM = (
    '<node name="{}"><attr key="compression" type="string">X</attr><attr key="typeIdentifier" type="string">{}</attr>'
    '<node name="info"><attr key="sizeX" type="int">346</attr><attr key="sizeY" type="int">260</attr></node>'
    "</node>".format
)


def recording(
    packets: list[tuple[int, bytes]],
    compression: int = 0,
    pack: Callable[[bytes], bytes] = identity,
    streams: tuple[str, ...] = ("EVTS", "FRME", "IMUS", "TRIG"),
    with_end: bool = True,
) -> bytes:
    text = XML("".join(STREAM(k, kind) for k, kind in enumerate(streams))).encode()
    data = b"".join(
        struct.pack("<II", number, len(content)) + content for number, content in ((n, pack(c)) for n, c in packets)
    )

    def head(end: int) -> bytes:
        tail = struct.pack("<I", len(text)) + text + b"\0"
        whole = flatbuffer(b"IOHE", [struct.pack("<i", compression), struct.pack("<q", end), bytes(4)], tail)
        return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(whole)) + whole

    if not with_end:
        return head(-1) + data
    return head(len(head(0)) + len(data)) + data + b"a table of packets"


def in_packets(events: list[Event]) -> list[tuple[int, bytes]]:
    return [(0, packet(events[k : k + 70])) for k in range(0, len(events), 70)]
