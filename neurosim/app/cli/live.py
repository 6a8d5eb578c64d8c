"""`neurosim live SOURCE --model RUN`: answers of a trained run while events come in."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...base.errors import require
from ..runs.frame.arguments import numbers_of
from ..runs.frame.command import Command, CommandResult, common
from ..runs.frame.command_options import CommandOptions

if TYPE_CHECKING:
    from ..live.loop import LiveAnswer, LiveTotals

# s between two messages that the machine is behind.
BETWEEN = 1.0


@click.command(cls=Command)
@click.argument("source", metavar="SOURCE")
@click.option("--model", "run", type=click.Path(path_type=Path), required=True, metavar="RUN", help="Run that answers.")
@click.option("--packet", type=float, default=0.02, show_default=True, metavar="SECONDS", help="Time between answers.")
@click.option("--window", type=float, metavar="SECONDS", help="How far back an answer looks; default by the run.")
@click.option(
    "--speed",
    type=float,
    default=1.0,
    show_default=True,
    metavar="X",
    help="How fast a file plays: 2 twice as fast, 0 without pauses.",
)
@click.option(
    "--max-behind",
    type=float,
    default=0.2,
    show_default=True,
    metavar="SECONDS",
    help="Drop packets that come later than that.",
)
@click.option(
    "--page",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Show the answers on a page at this port; 0: a free port.",
)
@click.option(
    "--shape",
    callback=numbers_of("P,Y,X, e.g. 2,480,640"),
    metavar="P,Y,X",
    help="Sensor of datagrams and tables, before the filters; default the run's.",
)
@click.option("--format", metavar="NAME", help="Format of a file; default by its first bytes or suffix.")
@common(without=("config", "sets", "seed", "out"))
def command(
    options: CommandOptions,
    source: str,
    run: Path,
    packet: float,
    window: float | None,
    speed: float,
    max_behind: float,
    page: int | None,
    shape: tuple[int, ...] | None,
    format: str | None,
) -> CommandResult:
    """Answer what SOURCE shows, packet by packet, with the liquid or the networks that RUN trained.

    \b
    neurosim live walk.raw --model runs/gestures             a file, at the pace of its events
    neurosim live - --model runs/gestures                    packets of PacketWriter on standard input
    neurosim live udp://0.0.0.0:3333 --model runs/gestures   datagrams of SPIF and AEStream
    neurosim live dv: --model runs/gestures                  the first camera of dv-processing

    dv://HOST:PORT is a server of events, and PacketWriter of neurosim.data writes packets.
    RUN is a run of 'neurosim simulate DATASET' or 'neurosim train'. Each answer is a line of JSON on standard output:
    time and label, scores in the order of the classes, events of the packet, delay behind its end, packets dropped so
    far. The last line has the delays from an event, and from the end of its packet, to the answer (p50, p95, p99, max),
    and how busy a core was. With --json only that is on standard output.

    A packet that waits longer than --max-behind is dropped, with its events and its time, if a later one has arrived;
    a message says how far behind the machine is. A writer on standard input waits instead, and so does a file at speed
    0. Ctrl-C ends the stream.
    """
    from ..live.loop import LiveTotals, Receiver, answers, warm_up
    from ..live.models import open_model
    from ..live.page import LivePage
    from ..live.sources import open_source

    require(speed >= 0, "--speed", "must be >= 0", speed)
    require(max_behind > 0, "--max-behind", "must be > 0 s", max_behind)
    model = open_model(run, window, options.threads or 1)
    model.check_packet(packet)
    reading = {**model.options, **({} if format is None else {"format": format})}
    options.say(f"{run}: compiling; an answer looks at the latest {model.window:g} s")
    # Before the source is opened: what compiles takes seconds, in which events would arrive and be late.
    warm_up(model, packet)
    opened = open_source(source, model.shape, packet=packet, options=reading, sensor=shape)
    shown = None if page is None else LivePage(page, f"{source} by {run}", model.classes)
    if shown is not None:
        options.say(f"the page is at http://127.0.0.1:{shown.port}/")
    totals = LiveTotals()
    warned = 0.0
    try:
        for answer in answers(model, Receiver(opened, speed, max_behind), totals, speed):
            line = _line(answer, model.classes, totals)
            click.echo(json.dumps(line))
            if shown is not None:
                shown.show(answer.arrival.spikes, line)
            if (answer.delay > packet or answer.dropped) and time.monotonic() - warned > BETWEEN:
                warned = time.monotonic()
                late = f"{answer.delay * 1e3:.0f} ms behind; {totals.dropped_packets:,} packets dropped so far"
                options.say(late)
    except KeyboardInterrupt:
        options.say("ended by Ctrl-C")
    finally:
        if shown is not None:
            shown.close()
    summary = _summary(totals)
    options.say(_words(totals))
    return CommandResult(summary, json.dumps({"summary": summary}))


def _line(answer: LiveAnswer, classes: tuple[str, ...], totals: LiveTotals) -> dict[str, Any]:
    """Return an answer as its line of JSON."""
    arrival = answer.arrival
    best = int(answer.scores.argmax())
    return {
        "t": round(arrival.begin + arrival.spikes.duration, 6),
        "label": classes[best] if best < len(classes) else best,
        "scores": [round(float(score), 4) for score in answer.scores],
        "events": len(arrival.spikes),
        "delay_ms": round(answer.delay * 1e3, 2),
        "dropped_packets": totals.dropped_packets,
    }


def _summary(totals: LiveTotals) -> dict[str, Any]:
    return {
        "packets": totals.packets,
        "events": totals.events,
        "dropped_packets": totals.dropped_packets,
        "dropped_events": totals.dropped_events,
        "seconds": round(totals.seconds, 3),
        "busy": round(totals.busy / totals.seconds, 4) if totals.seconds else None,
        "event_to_answer_s": totals.from_event.percentiles(),
        "packet_to_answer_s": totals.from_packet.percentiles(),
    }


def _words(totals: LiveTotals) -> str:
    """Return the summary in one line."""
    parts = [f"{totals.packets:,} packets, {totals.events:,} events in {totals.seconds:.1f} s"]
    for name, delays in (("an event", totals.from_event), ("its packet's end", totals.from_packet)):
        values = ", ".join(f"{key} {value * 1e3:.1f}" for key, value in delays.percentiles().items())
        if values:
            parts.append(f"ms from {name} to the answer: {values}")
    if totals.seconds:
        parts.append(f"one core {totals.busy / totals.seconds:.0%} busy")
    parts.append(f"{totals.dropped_packets:,} packets with {totals.dropped_events:,} events dropped")
    return "; ".join(parts)
