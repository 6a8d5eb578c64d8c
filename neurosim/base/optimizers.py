"""Optimisers of torch, without the import of its compiler.

torch keeps methods of its optimisers out of compiled graphs by a wrapper that imports `torch._dynamo` when it is first
called: 1.7 s of a core in every process that trains. Classes here have the methods within these wrappers, so that
steps, state and arguments are those of `torch.optim`.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import optim


def _own_step(optimizer: type[optim.Optimizer]) -> Any:
    """Return `step` of one of torch's optimisers, which runs without gradients as torch's does."""
    return torch.no_grad()(inspect.unwrap(optimizer.step))


class Uncompiled(optim.Optimizer):
    """An optimiser that loads no compiler; a class of its own kind writes `step` under `torch.no_grad`."""

    add_param_group = inspect.unwrap(optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(optim.Optimizer.load_state_dict)


class SGD(Uncompiled, optim.SGD):
    """`torch.optim.SGD`."""

    step = _own_step(optim.SGD)


class Adam(Uncompiled, optim.Adam):
    """`torch.optim.Adam` (Kingma & Ba 2015)."""

    step = _own_step(optim.Adam)


class AdamW(Uncompiled, optim.AdamW):
    """`torch.optim.AdamW` (Loshchilov & Hutter 2019)."""

    step = _own_step(optim.AdamW)


class Adamax(Uncompiled, optim.Adamax):
    """`torch.optim.Adamax` (Kingma & Ba 2015)."""

    step = _own_step(optim.Adamax)


class RAdam(Uncompiled, optim.RAdam):
    """`torch.optim.RAdam` (Liu et al. 2020)."""

    step = _own_step(optim.RAdam)
