"""Cases of the recurrence on a GPU against the plain loop; see triton_tools."""

from __future__ import annotations

import itertools

import torch

from neurosim.kernels.layers.scan import gpu as scan_triton
from neurosim.kernels.layers.scan import kinds as K
from neurosim.kernels.layers.scan import reference as S
from neurosim.kernels.layers.scan.autograd import FeedbackScan, Scan

# The interpreter is slow: a few short strides, the last one not full.
STEPS = 13
STRIDE = 5


def given(how, device, steps=STEPS, batch=3, units=19):
    """current, state, c, weight, last, and gradients of out and state."""
    g = torch.Generator().manual_seed(how.kind)
    c = torch.rand(K.CONSTANTS[how.kind], units, generator=g) * 0.5 + 0.4
    current = torch.randn(steps, batch, units, generator=g)
    state = torch.randn(K.STATES[how.kind], batch, units, generator=g) / 2
    weight = torch.randn(units, units, generator=g) / 10
    last = (torch.rand(batch, units, generator=g) < 0.3).float()
    grads = torch.randn(current.shape, generator=g), torch.randn(state.shape, generator=g)
    return [x.to(device) for x in (current, state, c, weight, last)], [x.to(device) for x in grads]


def compare(how, device, recurrent=False, **sizes):
    before = scan_triton.STRIDE
    scan_triton.STRIDE = STRIDE
    try:
        _compare(how, device, recurrent, sizes)
    finally:
        scan_triton.STRIDE = before


def _compare(how, device, recurrent, sizes):
    inputs, grads = given(how, device, **sizes)
    inputs = inputs if recurrent else inputs[:3]
    kernel = FeedbackScan if recurrent else Scan
    found = []
    for form in (lambda *x: S.reference(*x[:3], how, *x[3:]), lambda *x: kernel.apply(*x, how, scan_triton)):
        leaves = [x.clone().requires_grad_() for x in inputs]
        outputs = form(*leaves)
        torch.autograd.backward(outputs, grads)
        found.append([*(x.detach() for x in outputs), *(x.grad for x in leaves)])
    for k, (expected, got) in enumerate(zip(*found, strict=True)):
        # Spikes exactly; a product on a GPU may be summed otherwise, and gradients are.
        assert k or recurrent or torch.equal(expected, got), (how, k)
        assert (expected - got).abs().max() <= 1e-5 * expected.abs().max(), (how, k)


def case_lif(device):
    for reset, attached in itertools.product((K.SUBTRACT, K.ZERO, K.LATE), (False, True)):
        compare(K.Recurrence(K.LIF, reset, attached), device)


def case_current(device):
    for reset, attached in itertools.product((K.SUBTRACT, K.ZERO), (False, True)):
        compare(K.Recurrence(K.CURRENT, reset, attached), device)


def case_adaptive(device):
    for reset, attached in itertools.product((K.SUBTRACT, K.ZERO), (False, True)):
        compare(K.Recurrence(K.ADAPTIVE, reset, attached), device)


def case_integrator(device):
    compare(K.Recurrence(K.INTEGRATOR), device)


def case_surrogates(device):
    for shape in (K.FAST_SIGMOID, K.ARCTAN, K.TRIANGLE, K.SIGMOID):
        compare(K.Recurrence(K.LIF, surrogate=shape, slope=1.7, scale=0.8), device)


def case_feedback(device):
    for kind in (K.LIF, K.CURRENT, K.ADAPTIVE):
        compare(K.Recurrence(kind, K.ZERO), device, recurrent=True, batch=2)


def case_nothing_is_kept_without_gradients(device):
    inputs, _ = given(K.Recurrence(), device)
    out, _ = Scan.apply(*inputs[:3], K.Recurrence(), scan_triton)
    assert out.grad_fn is None and torch.equal(out, S.reference(*inputs[:3], K.Recurrence())[0])
