"""The recurrence of a spiking layer, in the form for the device of its tensors."""

from __future__ import annotations

import torch

from .reference import reference


def scan(current, state, c, how, weight=None, last=None):
    """Compute `reference`: float32 in the compiled form of a CPU or an NVIDIA GPU, else by the plain loop."""
    tensors = [x for x in (current, state, c, weight, last) if x is not None]
    kinds = {(x.device.type, x.dtype) for x in tensors}
    forms = COMPILED[kinds.pop()[0]]() if kinds in ({("cpu", torch.float32)}, {("cuda", torch.float32)}) else None
    if forms is None or not current.numel():
        return reference(current, state, c, how, weight, last)
    return forms[0].apply(current, state, c, how) if weight is None else forms[1].apply(*tensors, how)


def _on_cpu():
    from . import autograd_cpu as forms

    return forms.NumbaScan, forms.NumbaFeedbackScan


def _on_gpu():
    """Return None if Triton is not installed, as on systems other than Linux."""
    try:
        from . import autograd_gpu as forms
    except ModuleNotFoundError:
        return None
    return forms.TritonScan, forms.TritonFeedbackScan


COMPILED = {"cpu": _on_cpu, "cuda": _on_gpu}
