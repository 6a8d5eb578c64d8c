"""The processes that share one network: MPI through mpi4py, which only this file imports."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..base.distribution import install
from ..base.errors import NeurosimInputError, NeurosimInterruptedError, NeurosimMissingError, NeurosimOverflowError
from .addresses import signed
from .threads import thread_count

# Variables of the mpirun of MPICH, Open MPI and MVAPICH with the number of processes.
LAUNCHED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
MAX_CORES = 4096


@final
class Processes:
    """Processes that share one network, or (no communicator) one that has all of it.

    Every method is called by all of them, in the same order, and returns on all of them.

    Args:
        communicator: of mpi4py.

    Attributes:
        rank: number of this process. size: number of processes.
        neighbours: number of processes on this machine, this one included.
        place: number of this process among its neighbours.
    """

    def __init__(self, communicator: Any = None) -> None:
        self.rank = 0
        self.size = 1
        self.neighbours = 1
        self.place = 0
        self._cores = 0
        self.communicator = communicator
        if communicator is not None:
            self.rank = communicator.Get_rank()
            self.size = communicator.Get_size()
            self._look_around(communicator)

    @property
    def root(self) -> bool:
        """Return whether this is the process that writes files."""
        return self.rank == 0

    def threads(self, threads: int | None) -> int:
        """Return the number of threads of this process; None: its share of the cores of the machine."""
        if threads is None and self._cores:
            return self._cores
        return thread_count(threads)

    def sum(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sums over all processes."""
        if self.size == 1:
            return values
        result = np.empty_like(values)
        self.communicator.Allreduce(np.ascontiguousarray(values), result)
        return result

    def before(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sums over the processes before this one."""
        sums = np.zeros_like(values)
        if self.size > 1:
            self.communicator.Exscan(np.ascontiguousarray(values), sums)
        # MPI leaves the result of process 0 undefined.
        if self.rank == 0:
            return np.zeros_like(values)
        return sums

    def max(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the maxima over all processes."""
        if self.size == 1:
            return values
        result = np.empty_like(values)
        self.communicator.Allreduce(np.ascontiguousarray(values), result, _mpi().MAX)
        return result

    def of_root(self, value: int) -> int:
        """Return the number that process 0 gave."""
        return int(self.sum(np.array([value if self.root else 0], np.int64))[0])

    def text(self, text: str, rank: int = 0) -> str:
        """Return the text that one process gave."""
        if self.rank == rank:
            own = np.frombuffer(text.encode(), np.uint8)
        else:
            own = np.empty(0, np.uint8)
        return self.joined(own).tobytes().decode()

    def first_text(self, text: str) -> str:
        """Return the text of the first process that gave one; "" where none did."""
        # The lowest rank with a text has the greatest distance from the end.
        distance = self.size - self.rank if text else 0
        rank = self.size - int(self.max(np.array([distance]))[0])
        if rank == self.size:
            return ""
        return self.text(text, rank)

    def any(self, flag: bool) -> bool:
        """Return whether any process has set its flag."""
        return bool(self.sum(np.array([flag], np.int64))[0])

    def parts(self, own: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the arrays of all processes, which differ in their first dimension at most."""
        if self.size == 1:
            return [own]
        own = np.ascontiguousarray(own)
        counts = np.zeros(self.size, np.int64)
        counts[self.rank] = len(own)
        counts = self.sum(counts)
        result = np.empty((int(counts.sum()), *own.shape[1:]), own.dtype)
        # Sent as bytes, so that any dtype will do.
        sizes = counts * (own.itemsize * int(np.prod(own.shape[1:], dtype=np.int64)))
        byte = _mpi().BYTE
        self.communicator.Allgatherv([own, own.nbytes, byte], [result, sizes.tolist(), byte])
        return np.split(result, np.cumsum(counts)[:-1])

    def joined(self, own: NDArray[Any]) -> NDArray[Any]:
        """Return the arrays of all processes, one after another along the first dimension."""
        if self.size == 1:
            return own
        return np.concatenate(self.parts(own))

    def exchange(self, first_blocks: Sequence[int]) -> tuple[NDArray[np.int64], list[NDArray[Any]]]:
        """Return the record of `kernels.engine.clocked.exchange`, and the arrays whose addresses are in it.

        Args:
            first_blocks: [size + 1] the blocks of each process, and the one after the last.

        Raises:
            NeurosimMissingError: MPI_Allgatherv is not found in the library of mpi4py.
        """
        from ..kernels.engine.clocked import exchange as kernel

        record = np.zeros(kernel.EXCHANGE_COLUMNS, np.int64)
        blocks = np.array(first_blocks, np.int64)
        if self.size == 1:
            return record, []
        mpi = _mpi()
        try:
            # The run loop calls MPI itself: the interpreter would cost more than the message.
            function = ctypes.cast(ctypes.CDLL(mpi.__file__).MPI_Allgatherv, ctypes.c_void_p).value or 0
        except (OSError, AttributeError) as error:
            raise NeurosimMissingError(
                f"mpi4py: has no MPI_Allgatherv that can be called ({error}); run: pip install 'mpi4py>=4'"
            ) from None
        record[kernel.CALLED] = kernel.address_of_exchange()
        record[kernel.GATHER] = function
        record[kernel.COMMUNICATOR] = signed(mpi._handleof(self.communicator))
        record[kernel.INTEGERS] = signed(mpi._handleof(mpi.INT32_T))
        record[kernel.RANK] = self.rank
        record[kernel.PROCESSES] = self.size
        record[kernel.FIRST_BLOCKS] = blocks.ctypes.data
        return record, [blocks]

    @contextmanager
    def together(self) -> Iterator[None]:
        """End all processes when this one ends after an error in the block, for the others would wait for it.

        An interrupt stops all, and an overflow is raised in all: the others do not wait.
        """
        try:
            yield
        except (NeurosimInterruptedError, NeurosimOverflowError):
            raise
        except Exception as error:
            self._end_all(error)
            raise

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Raise an input error of one process in all of them; of several, the error of the first.

        Each process checks its own part of a network. Another error ends all.
        """
        wrong: NeurosimInputError | None = None
        try:
            yield
        except NeurosimInputError as error:
            if self.size == 1:
                raise
            wrong = error
        except Exception as error:
            self._end_all(error)
            raise
        text = self.first_text("" if wrong is None else str(wrong))
        if text:
            raise NeurosimInputError(text) from wrong

    def _end_all(self, error: Exception) -> None:
        if self.size > 1:
            from mpi4py.run import set_abort_status

            set_abort_status(error)

    @contextmanager
    def one_writes(self) -> Iterator[bool]:
        """Yield whether this is process 0, which writes for all; the others wait until it has written."""
        with self.together():
            yield self.root
            if self.size > 1:
                self.communicator.Barrier()

    def _look_around(self, communicator: Any) -> None:
        mpi = _mpi()
        machine = communicator.Split_type(mpi.COMM_TYPE_SHARED)
        self.neighbours = machine.Get_size()
        self.place = machine.Get_rank()
        # Processes of one machine may be bound to cores of their own, or all to the same: count each core once.
        cores = np.zeros(MAX_CORES, np.int64)
        result = np.empty(MAX_CORES, np.int64)
        cores[list(_cores())] = 1
        machine.Allreduce(cores, result, mpi.MAX)
        self._cores = max(1, int(result.sum()) // machine.Get_size())
        machine.Free()


ALONE = Processes()
_KNOWN: dict[int, tuple[Any, Processes]] = {}


def processes_of(communicator: Any) -> Processes:
    """Return the processes of a communicator of mpi4py, which gets a duplicate for neurosim; None: this one alone.

    Raises:
        NeurosimInputError: something else.
        NeurosimMissingError: mpi4py is not installed.
    """
    if communicator is None:
        return ALONE
    mpi = _mpi()
    if not isinstance(communicator, mpi.Intracomm):
        rule = "must be an mpi4py.MPI.Intracomm, such as MPI.COMM_WORLD"
        raise NeurosimInputError(f"simulate.comm: {rule} (got {type(communicator).__name__})")
    handle = mpi._handleof(communicator)
    own, known = _KNOWN.get(handle, (None, ALONE))
    # A handle is used again for another communicator when the first was freed.
    if own is None or mpi.Comm.Compare(own, communicator) != mpi.CONGRUENT:
        own = communicator.Dup()
        # A failed message leaves the others waiting: end all.
        own.Set_errhandler(mpi.ERRORS_ARE_FATAL)
        known = Processes(own)
        _KNOWN[handle] = _KNOWN[mpi._handleof(own)] = own, known
    return known


def launched() -> Any:
    """Return the communicator of the processes that mpirun started; None where it started one or none.

    Raises:
        NeurosimMissingError: mpi4py is not installed.
    """
    several = any(os.environ.get(name, "1") != "1" for name in LAUNCHED)
    return _mpi().COMM_WORLD if several else None


def _cores() -> set[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        cores = os.sched_getaffinity(0)
    else:
        cores = set(range(os.cpu_count() or 1))
    return {core for core in cores if core < MAX_CORES}


def _mpi() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise NeurosimMissingError(f"processes: need mpi4py and MPI ({error}); run: {install('mpi')}") from None
    return MPI
