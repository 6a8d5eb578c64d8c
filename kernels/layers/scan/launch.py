"""The recurrence of a spiking layer, in the form for the device of its tensors."""

from __future__ import annotations

import torch

from .reference import reference


def scan(current, state, c, how, weight=None, last=None):
    """Compute `reference`: float32 in the compiled form of a CPU or an NVIDIA GPU, else by the plain loop."""
    tensors = [x for x in (current, state, c, weight, last) if x is not None]
    kinds = {(x.device.type, x.dtype) for x in tensors}
    if len(kinds) == 1 and current.numel():
        form = _form(*kinds.pop())
    else:
        form = None
    if form is None:
        return reference(current, state, c, how, weight, last)
    from .autograd import FeedbackScan, Scan

    return (Scan if weight is None else FeedbackScan).apply(*tensors, how, form)


def _form(device, dtype):
    """Return the module of the compiled form, or None; Triton is not installed on systems other than Linux."""
    try:
        if (device, dtype) == ("cpu", torch.float32):
            from . import cpu as form
        elif (device, dtype) == ("cuda", torch.float32):
            from . import gpu as form
        else:
            form = None
    except ModuleNotFoundError:
        form = None
    return form
