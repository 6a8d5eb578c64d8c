"""The loop of live answers: a thread receives packets, the model answers them in order, late ones are dropped."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...data.spikes import Spikes
from .delays import Delays
from .models import LiveModel
from .sources import Source

# Packets that are read ahead of a source that can wait.
AHEAD = 4


class Arrival(NamedTuple):
    """A packet that arrived.

    Attributes:
        number: of the packets of the source, from 0.
        begin: s, its start on the clock of the source.
        spikes: its events.
        due: time on the clock of this machine at which its last event was there, s.
    """

    number: int
    begin: float
    spikes: Spikes
    due: float


class LiveAnswer(NamedTuple):
    """Answer after a packet.

    Attributes:
        arrival: the packet.
        scores: [classes].
        delay: s from the end of the packet to this answer.
        dropped: number of packets that were dropped since the answer before.
    """

    arrival: Arrival
    scores: NDArray[np.float64]
    delay: float
    dropped: int


@dataclass
class LiveTotals:
    """Totals of a stream.

    Attributes:
        packets, events: that were answered.
        dropped_packets, dropped_events: that were not.
        seconds: wall-clock, from the first packet on.
        busy: s of this process's processors in that time.
        from_event: delays from each event to the answer after it.
        from_packet: delays from the end of each packet to its answer.
    """

    packets: int = 0
    events: int = 0
    dropped_packets: int = 0
    dropped_events: int = 0
    seconds: float = 0.0
    busy: float = 0.0
    from_event: Delays = field(default_factory=Delays)
    from_packet: Delays = field(default_factory=Delays)


class Receiver:
    """Packets of a source, received by a thread of its own.

    A packet that waits for longer than `max_behind` is dropped, with its events and its time, unless it is the last
    that has arrived. Packets of a file come at `speed` times their own pace. At speed 0 they come as fast as they are
    answered, as those of a writer that waits for its reader: none of them is dropped.
    """

    def __init__(self, source: Source, speed: float, max_behind: float) -> None:
        self._source = source
        self._speed = speed
        self._max_behind = max_behind
        self._is_paced = source.pace == "recorded" and speed > 0
        self._may_drop = self._is_paced or source.pace == "arriving"
        # A short queue holds its source back; one that waits for nobody must always be taken.
        self._queue: queue.Queue[Arrival | BaseException | None] = queue.Queue(0 if self._may_drop else AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._receive, name="receiver", daemon=True)
        self.dropped_packets = 0
        self.dropped_events = 0

    def __iter__(self) -> Iterator[Arrival]:
        """Yield the packets that are answered; those that came before a fault of the source are, too.

        Raises:
            NeurosimError: as the source.
        """
        self._thread.start()
        waiting: deque[Arrival] = deque()
        ended = False
        fault: BaseException | None = None
        try:
            while True:
                # All that is here, so that the age of the first is known to matter; if nothing is, the next one.
                while not ended and not (waiting and self._queue.empty()):
                    item = self._queue.get()
                    if isinstance(item, Arrival):
                        waiting.append(item)
                    else:
                        ended = True
                        fault = item
                if not waiting and fault is not None:
                    raise fault
                if not waiting:
                    return
                first = waiting.popleft()
                if self._may_drop and waiting and time.monotonic() - first.due > self._max_behind:
                    self.dropped_packets += 1
                    self.dropped_events += len(first.spikes)
                    continue
                yield first
        finally:
            self._stopped.set()

    def _receive(self) -> None:
        """Put the packets of the source into the queue, each when it is due."""
        begin = 0.0
        started = time.monotonic()
        try:
            for number, spikes in enumerate(self._source.packets):
                end = begin + spikes.duration
                due = started + end / self._speed if self._is_paced else time.monotonic()
                left = due - time.monotonic()
                if left > 0 and self._stopped.wait(left):
                    return
                self._queue.put(Arrival(number, begin, spikes, due))
                begin = end
                if self._stopped.is_set():
                    return
            self._queue.put(None)
        except BaseException as error:  # handed to the thread that answers
            self._queue.put(error)


def answers(model: LiveModel, receiver: Receiver, totals: LiveTotals, speed: float = 1.0) -> Iterator[LiveAnswer]:
    """Yield the answer after each packet, and count in `totals`.

    Args:
        speed: of the packets of a file, by which the delays of their events are measured.

    Raises:
        NeurosimError: as the source and the model.
    """
    dropped = 0
    started = None
    for arrival in receiver:
        if started is None:
            started = time.monotonic()
            busy = time.process_time()
        spikes = arrival.spikes
        scores = model.scores(spikes)
        now = time.monotonic()
        delay = now - arrival.due
        totals.from_packet.add(np.array([delay]))
        totals.from_event.add(delay + (spikes.duration - spikes.times) / (speed or 1.0))
        totals.packets += 1
        totals.events += len(spikes)
        totals.seconds = now - started
        totals.busy = time.process_time() - busy
        totals.dropped_packets = receiver.dropped_packets
        totals.dropped_events = receiver.dropped_events
        yield LiveAnswer(arrival, scores, delay, receiver.dropped_packets - dropped)
        dropped = receiver.dropped_packets


def warm_up(model: LiveModel, packet: float) -> None:
    """Run one packet without events, so that no event waits for compiled code."""
    size = int(np.prod(model.shape))
    nothing = Spikes.unchecked(np.empty(0), units=np.empty(0, np.int32), size=size, duration=packet, shape=model.shape)
    model.scores(nothing)
