"""Processes that train one network together, each on its share of every batch (torch.distributed, gloo)."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import final

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from ...base.errors import NeurosimError, NeurosimInputError

# Time after which a process no longer waits for the others.
WAIT = timedelta(minutes=10)
# Environment variables that torchrun sets.
TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@final
@dataclass(frozen=True)
class Team:
    """This process among `size`; a single process sends nothing.

    Attributes:
        rank: number of this process; process 0 writes files.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, items: NDArray[np.int64]) -> slice:
        """Return this process's part of a batch: consecutive items, of nearly equal number for each process."""
        return slice(round(len(items) * self.rank / self.size), round(len(items) * (self.rank + 1) / self.size))

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        if self.size == 1 or not tensors:
            return
        # One message for all tensors.
        flat = torch.cat([t.detach().reshape(-1).float() for t in tensors])
        dist.all_reduce(flat)
        begin = 0
        for t in tensors:
            end = begin + t.numel()
            t.copy_(flat[begin:end].view(t.shape))
            begin = end


@contextmanager
def team() -> Iterator[Team]:
    """Join the processes that torchrun started with this one; without torchrun, a team of one.

    Raises:
        NeurosimInputError: only some of torchrun's variables are set.
        NeurosimError: the other processes did not answer.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team()
        return
    missing = [name for name in TORCHRUN if name not in os.environ]
    if missing:
        raise NeurosimInputError(f"{missing[0]}: must be set beside WORLD_SIZE; start the processes with torchrun")
    try:
        dist.init_process_group("gloo", timeout=WAIT)
    except (RuntimeError, ValueError) as error:
        raise NeurosimError(f"torch.distributed: the processes did not meet ({str(error).splitlines()[0]})") from None
    try:
        yield Team(dist.get_rank(), dist.get_world_size())
        # The first process to leave closes connections that others may still use. After an error no process waits.
        dist.barrier()
    finally:
        # The threads of a group must end before the interpreter does: one that releases a tensor later aborts the
        # process. Destroying the group joins them, once nothing else refers to it.
        gc.collect()
        dist.destroy_process_group()
