"""Kernels compiled by processes of their own while a first command imports, reads its data and compiles others.

A process compiles one kernel at a time, so that a first command would use one core for most of its time. The kernels
go into the cache, from which the command reads them; it waits for one that is still being compiled, see
`kernels.tools.locks`. Results are the same with and without, and NEUROSIM_COMPILE_AHEAD=0 goes without.

python -m neurosim.app.runs.frame.ahead PART...    compiles parts, one after the other
"""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....engine.threads import core_count

SWITCH = "NEUROSIM_COMPILE_AHEAD"


def _network() -> None:
    """Compile what draws, steps and reads a network, by a small liquid, and then what reads its spikes."""
    import numpy as np

    from ....data.recordings import Recordings
    from ....data.spikes import Spikes
    from ....learning.liquid.liquid import Liquid
    from ....learning.liquid.quality import states
    from ....learning.liquid.windows import features

    liquid = Liquid((2, 12, 12), neurons=20, in_degree=4)
    silence = Spikes(np.zeros(0), np.zeros(0, np.int32), 288, 0.01, (2, 12, 12))
    spikes = liquid.run(Recordings.collect([silence]), threads=1, count_updates=True).recordings("liquid")
    features(spikes)
    states(spikes)


def _log() -> None:
    """Compile what takes spikes out of the log of a run, on no steps."""
    import numpy as np

    from ....kernels.engine.clocked import log

    offsets = np.zeros((1, 2), np.int64)
    one = np.zeros(1, np.int64)
    units = np.zeros((1, 1), np.int32)
    window = log.LogWindow(0, 0, 0)
    lists = log.SpikeLists(np.zeros(1, bool), one, one, units[0], units[0])
    log.gather(units, offsets, window, offsets[:, :1].copy(), one, lists)
    log.count(offsets, window, offsets[:, :1].copy(), one)


def _stepping() -> None:
    """Compile what steps the neurons of a liquid, last what its run asks for first."""
    import numpy as np

    from ....kernels.engine.clocked import arrivals, columns, deliver, inputs, neurons, sources
    from ....kernels.engine.clocked.calls import address_of_advance, address_of_part

    _log()
    address_of_part(arrivals.enqueue, np.float32)
    address_of_advance(neurons.step_neurons, np.float32)
    address_of_advance(sources.play, np.float32)
    inputs.address_of_adding(columns.INPUT_QUEUE, np.float32)
    deliver.address_of_queue(np.float32)


def _trained() -> None:
    """Compile what plays events to a trained network of LIF and reads its integrators, by a small one."""
    import numpy as np

    from ....data.recordings import Recordings
    from ....data.spikes import Spikes
    from ....engine.batch import simulate
    from ....engine.probe import Probe
    from ....network.network import Network
    from ....network.neurons.lif import LI, LIF
    from ....network.population import Population
    from ....network.projection import Projection
    from ....network.stimuli import SpikeSource
    from ....network.synapses.convolution import Convolution
    from ....network.synapses.patterns import AllToAll

    clock = 0.01
    # All different, as trained ones: equal weights have rows of another form.
    weights = np.arange(1.0, 37.0)
    populations = [
        Population("input", (2, 8, 8), SpikeSource()),
        Population("layer", (2, 3, 3), LIF(soft_reset=True)),
        Population("readout", 2, LI()),
    ]
    projections = [
        Projection("input", "layer", Convolution(weights.reshape(2, 2, 3, 3), 2), weight=1.0, delay=clock),
        Projection("layer", "readout", AllToAll(), weight=weights, delay=clock),
    ]
    silence = Spikes(np.zeros(0), np.zeros(0, np.int32), 128, 10 * clock, (2, 8, 8))
    # With the options of a training's test.
    simulate(
        Network(populations, projections),
        Recordings.collect([silence]),
        clock=clock,
        threads=1,
        probes=[Probe("readout", "v", clock)],
        count_updates=True,
    )


def _delivering() -> None:
    """Compile what delivers to trained layers and samples their readout, last what a run asks for first."""
    import numpy as np

    from ....kernels.engine.clocked import arrivals, deliver, sample
    from ....kernels.engine.clocked.calls import address_of_part

    address_of_part(sample.sample, np.float32)
    _log()
    address_of_part(arrivals.deliver_due, np.float32)
    deliver.address_of_schedule()


def _gradient() -> None:
    """Compile the way back through layers of LIF on events, their integrators and a step of AdamW, on no work."""
    import numpy as np

    from ....kernels.layers.adamw.cpu import average_gradient, move
    from ....kernels.layers.convolution.cpu import Reach, _gather
    from ....kernels.layers.scan.integrator import backward_integrator, forward_integrator
    from ....kernels.layers.scan.lif_lanes import backward_lif
    from ....kernels.layers.spike_linear.cpu import _product
    from ....kernels.layers.spike_linear.lists import ActiveInputs, _turn

    row = np.zeros((1, 1), np.float32)
    line = row[0]
    states = row[None]
    how = (0, 0, 0, 0.0, 0.0, 0.0)
    backward_lif(how, row, row, states, row, row, row, row, False, None, 0, 0)
    starts = np.zeros(2, np.int64)
    units = np.zeros(1, np.int32)
    _product(starts[None], 1, units, line, row, None, 0, 0, 0, 0, row)
    _gather(ActiveInputs(starts, units, line), states, Reach(units[None], 1, 1, 1), 0, 0, row)
    forward_integrator(row, row, row, row, states, 0, 0)
    backward_integrator(row, row, row, row, 0, 0)
    _turn(starts, units, line, starts, units, line)
    nothing = line[:0]
    scales = np.zeros(8, np.float32)
    average_gradient(nothing, nothing, nothing, scales)
    move(nothing, nothing, nothing, scales)


def _memory() -> None:
    """Compile what a macrocolumn does with an item."""
    import numpy as np

    from ....memory import SDR, Macrocolumn

    column = Macrocolumn(64, 2, 8)
    memory = column.memory()
    column.store(memory, SDR(np.arange(3), 64))


def _counts() -> None:
    """Compile the counts of a layer in spikes, and the adding of rows of weights of 8 bits by them."""
    import numpy as np

    from ....kernels.spikes.accumulate.launch import encode_accumulate

    encode_accumulate(np.ones((1, 8), np.float32), np.ones((8, 8), np.int8))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class KernelPart:
    """Kernels that are compiled together.

    Attributes:
        kernel: the last of them; where it is in the cache the others are, too.
        compile: the function that compiles them.
    """

    kernel: str
    compile: Callable[[], None]


PARTS: Mapping[str, KernelPart] = {
    "network": KernelPart("engine.clocked.loop.run", _network),
    "stepping": KernelPart("engine.clocked.arrivals.enqueue", _stepping),
    "delivering": KernelPart("engine.clocked.arrivals.deliver_due", _delivering),
    "trained": KernelPart("engine.clocked.sample.sample", _trained),
    "gradient": KernelPart("layers.adamw.cpu.move", _gradient),
    "memory": KernelPart("memory.macrocolumn.cpu.run", _memory),
    "counts": KernelPart("spikes.accumulate.cpu._gather", _counts),
}
# Parts that a command needs: those that take longest, by the clock on two cores, and first what it calls first.
OF_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "demo": ("network",),
    "simulate": ("network",),
    "train": ("gradient", "trained"),
    "memory store": ("memory",),
    "convert model": ("counts",),
}


@contextlib.contextmanager
def compiled_ahead(command: str) -> Iterator[None]:
    """Compile the parts that a command needs in other processes, which end with the block.

    Each core that this process may use, but one, has a process; parts that share one are compiled in their order.
    Nothing is started for a part of which any version is in the cache, where the cache cannot be written, or on one
    core.
    """
    processes = []
    missing = _missing(OF_COMMANDS.get(command, ()))
    count = min(len(missing), core_count() - 1)
    for k in range(count):
        # The system may allow no further process.
        with contextlib.suppress(OSError):
            processes.append(_start(missing[k::count]))
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            # Closes the pipe, too.
            process.communicate()


def compile_here(part: str) -> None:
    """Compile a part in this process, where other processes may compile what comes before it."""
    if _missing([part]):
        PARTS[part].compile()


def _missing(parts: Sequence[str]) -> list[str]:
    """Return those of the parts that the cache has not."""
    if not parts or os.environ.get(SWITCH, "1") == "0" or core_count() == 1:
        return []
    from ....kernels.tools.cache_folder import cache_folder

    folder = cache_folder()
    if folder is None:
        return []
    # A kernel's name, then `-`, or `.within-` for the form that other kernels call.
    return [part for part in parts if next(folder.glob(f"{PARTS[part].kernel}[-.]*.nbi"), None) is None]


def _start(parts: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a process that compiles parts, in the folder of this package, which it then imports."""
    root = Path(__file__).resolve().parents[4]
    line = [sys.executable, "-m", __name__, *parts]
    return subprocess.Popen(line, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def end_with_parent() -> None:
    """End when standard input does, which the command holds open as long as it lives."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)


def main() -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    # What is imported and compiled is no garbage.
    gc.disable()
    for part in sys.argv[1:]:
        PARTS[part].compile()
    # As in the command: no search for garbage at the end.
    gc.freeze()


if __name__ == "__main__":
    main()
