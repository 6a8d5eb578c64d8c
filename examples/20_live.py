"""A network in a loop with a world that runs on its own: packets of events over sockets, both ways.

An eye of 32 pixels sees a light that moves. Pixels left of its middle excite the neurons that turn it left, pixels on
the right those that turn it right. The world is a thread here; another process or machine needs the same two streams.
"""

import math
import socket
import threading

import numpy as np

from neurosim import LIF, FromList, Network, Population, Projection, Spikes, SpikeSource
from neurosim.data import PacketWriter, read_packets
from neurosim.engine import live, response

# s of a packet: with its simulation, the delay of the loop
PIXELS = 32
PACKET = 0.02
PACKETS = 250
WIDTH = math.pi / 2  # of what the eye sees
near = np.abs(np.arange(PIXELS) - (PIXELS - 1) / 2)
pixels = np.arange(PIXELS)
MUSCLES = FromList(pixels, (pixels >= PIXELS // 2).astype(int))  # unit 0 turns left, unit 1 right

network = Network(
    [Population("eye", PIXELS, SpikeSource()), Population("muscles", 2, LIF(tau_mem=0.03))],
    [Projection("eye", "muscles", MUSCLES, weight=0.1 * near, delay=1e-3)],  # the farther out, the stronger
)


def world(stream: socket.socket, errors: list[float], turns: bool) -> None:
    """Send what the eye sees, one packet after another, and turn it by the spikes that come back."""
    seen = PacketWriter(stream.makefile("wb"), PIXELS)
    answers = None
    angle = 0.0
    random = np.random.default_rng(0)
    for k in range(PACKETS):
        light = math.sin(2 * math.pi * 0.4 * k * PACKET)
        errors.append(abs(light - angle))
        pixel = int((light - angle) / WIDTH * PIXELS + PIXELS / 2)
        times = np.sort(random.random(4)) * PACKET
        seen.write(Spikes(times, np.full(4, min(max(pixel, 0), PIXELS - 1)), PIXELS, PACKET))
        answers = answers or read_packets(stream.makefile("rb"), 2)
        left, right = next(answers).counts()
        angle += 0.04 * (right - left) if turns else 0.0
    stream.shutdown(socket.SHUT_WR)  # the end of the input ends the run


for turns in (False, True):
    brain, body = socket.socketpair()
    errors: list[float] = []
    thread = threading.Thread(target=world, args=(body, errors, turns))
    thread.start()
    motor = PacketWriter(brain.makefile("wb"), 2)
    for result in live(network, read_packets(brain.makefile("rb"), PIXELS)):
        motor.write(response(result, "muscles"))
    thread.join()
    state = "turns" if turns else "rests"
    print(f"the eye {state}: the light is {np.degrees(np.mean(errors)):.1f} degrees from its middle on average")
