"""A network that runs as its input comes: one packet in, its response out, no more than one packet ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from ..base.errors import NeurosimInputError, require
from ..data.spikes import GRID_SLACK, Spikes
from ..network.network import Network
from .inputs import check_network, match_sources
from .probe import Probe
from .result import Result
from .simulation import Simulation


def live(
    network: Network,
    packets: Iterable[Spikes] | Mapping[str, Iterable[Spikes]],
    *,
    clock: float = 1e-3,
    seed: int = 0,
    threads: int | None = None,
    record: Sequence[str] | None = None,
    probes: Sequence[Probe] = (),
) -> Iterator[Result]:
    """Yield the result of each packet of events, as soon as the packet is there; ends with the packets.

    A packet is read only when its result is requested. The delay is therefore one packet and its simulation, memory
    holds the network and one packet, and a source that is read from a socket or pipe (`data.read_packets`) waits while
    the network is busy. A source may depend on the results so far, which closes a loop. The spikes are equal to the
    spikes of `simulate` with all packets joined.

    Args:
        packets: each covers the time after the one before; its times count from its own start. A mapping by the names
            of several sources; their packets must be equally long.
        clock, seed, threads, record, probes: as for `simulate`.

    Raises:
        NeurosimInputError: a packet that is not an integer number of steps, and as `Simulation`.
    """
    check_network(network, "live.network")
    named: Mapping[str, Iterable[Spikes]]
    if isinstance(packets, Mapping):
        named = cast("Mapping[str, Iterable[Spikes]]", packets)
    else:
        sources = match_sources(network, packets)
        named = {network.populations[p].name: packets for p in sources}
    queues: dict[str, deque[Spikes]] = {name: deque() for name in named}
    inputs = {name: _taken(queue) for name, queue in queues.items()}
    settings = {"clock": clock, "seed": seed, "threads": threads, "record": record, "probes": probes}
    with Simulation(network, inputs, **settings) as simulation:  # type: ignore[arg-type]
        for number, together in enumerate(zip(*named.values(), strict=False)):
            # The simulation reads from these queues while it runs, so a packet must be there before its time begins.
            for name, packet in zip(queues, together, strict=True):
                _check(packet, together[0], clock, f"live.packets[{name!r}]", number)
                queues[name].append(packet)
            yield simulation.run(together[0].duration)


def response(result: Result, population: str) -> Spikes:
    """Return the spikes of a population in a piece of a run, with times from the start of the piece.

    Raises:
        NeurosimInputError: the result is of a batch of recordings.
    """
    spikes = result.spikes[population]
    if not isinstance(spikes, Spikes):
        raise NeurosimInputError("response.result: must be a piece of one run (got the results of a batch)")
    times = (spikes.times - result.start).clip(0.0, result.duration)
    return Spikes.unchecked(times, spikes.units, spikes.size, result.duration, spikes.shape)


def _taken(queue: deque[Spikes]) -> Iterator[Spikes]:
    while True:
        yield queue.popleft()


def _check(packet: Spikes, first: Spikes, clock: float, source: str, number: int) -> None:
    """Raise unless packet `number` of a source are spikes, as long as those of the first source, of whole steps."""
    require(isinstance(packet, Spikes), source, "must yield Spikes", type(packet).__name__)
    name = f"{source}: packet {number}"
    rule = f"must last {first.duration:g} s, as long as the first source's"
    require(packet.duration == first.duration, name, rule, packet.duration)
    steps = packet.duration / clock
    fits = round(steps) >= 1 and abs(steps - round(steps)) <= GRID_SLACK * max(round(steps), 1)
    require(fits, name, f"must last a whole number of steps of {clock:g} s", packet.duration)
