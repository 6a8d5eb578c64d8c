"""The recurrence over time: the compiled form against the plain loop, spikes, states and every gradient."""

from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch")

from neurosim.kernels.layers.scan import cpu as scan_rows
from neurosim.kernels.layers.scan import kinds as K
from neurosim.kernels.layers.scan import reference as S
from neurosim.kernels.layers.scan.launch import scan
from neurosim.kernels.tools import lines

SURROGATES = (K.FAST_SIGMOID, K.ARCTAN, K.TRIANGLE, K.SIGMOID)
RESETS = {K.LIF: (K.SUBTRACT, K.ZERO, K.LATE), K.CURRENT: (K.SUBTRACT, K.ZERO), K.ADAPTIVE: (K.SUBTRACT, K.ZERO)}
HOWS = [
    *(
        K.Recurrence(kind, reset, attached, surrogate, 1.7, 0.8)
        for kind in RESETS
        for reset, attached, surrogate in itertools.product(RESETS[kind], (False, True), SURROGATES)
    ),
    K.Recurrence(K.INTEGRATOR),
]


def name(how: K.Recurrence) -> str:
    kind = ("lif", "current", "adaptive", "integrator")[how.kind]
    reset = ("subtract", "zero", "late")[how.reset]
    shape = ("fast_sigmoid", "arctan", "triangle", "sigmoid")[how.surrogate]
    return f"{kind}-{reset}-{'attached' if how.attached else 'detached'}-{shape}"


def inputs(how: K.Recurrence, steps: int = 70, batch: int = 3, units: int = 37, recurrent: bool = False) -> list:
    """current, state, c, weight, last: sizes that are no powers of two, more steps than two strides."""
    g = torch.Generator().manual_seed(1)
    c = torch.rand(K.CONSTANTS[how.kind], units, generator=g) * 0.5 + 0.4
    if how.kind != K.INTEGRATOR:
        c[1] = torch.rand(units, generator=g) * 0.5 + 0.3
    if how.kind == K.ADAPTIVE:
        c[3:] = torch.rand(2, units, generator=g) * 2
    current = torch.randn(steps, batch, units, generator=g)
    state = torch.randn(K.STATES[how.kind], batch, units, generator=g) / 2
    weight = torch.randn(units, units, generator=g) / 10
    last = (torch.rand(batch, units, generator=g) < 0.3).float()
    return [current, state, c, *((weight, last) if recurrent else (None, None))]


def run(form, how: K.Recurrence, given: list, outputs: bool = True, states: bool = True) -> list:
    """out, state, and the gradients of all that was given, from random gradients of out and state."""
    leaves = [None if x is None else x.clone().requires_grad_() for x in given]
    current, state, c, weight, last = leaves
    out, after = form(current, state, c, how, weight, last)
    g = torch.Generator().manual_seed(2)
    g_out = torch.randn(out.shape, generator=g)
    g_after = torch.randn(after.shape, generator=g)
    ((out * g_out).sum() * outputs + (after * g_after).sum() * states).backward()
    return [out, after, *(x.grad for x in leaves if x is not None)]


def check_equal(got: list, expected: list, spikes_equal: bool) -> None:
    for k, (a, b) in enumerate(zip(got, expected, strict=True)):
        if k < 2 and spikes_equal:
            assert torch.equal(a, b)
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.fixture(autouse=True)
def _no_number_where_nothing_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work space starts as NaN: what is used before it is written shows."""
    import numpy as np

    real = np.empty_like

    def nan(like, *args, **kwargs):
        made = real(like, *args, **kwargs)
        if made.dtype.kind == "f":
            made.fill(np.nan)
        return made

    monkeypatch.setattr(scan_rows.np, "empty_like", nan)


@pytest.mark.parametrize("how", HOWS, ids=name)
def test_compiled_is_the_reference(how: K.Recurrence) -> None:
    given = inputs(how)
    expected = run(S.reference, how, given)
    assert how.kind == K.INTEGRATOR or 0.02 < expected[0].mean() < 0.9
    check_equal(run(scan, how, given), expected, spikes_equal=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("how", [h for h in HOWS if h.kind == K.LIF and h.reset != K.LATE], ids=name)
def test_fixed_constants_have_the_gradients_of_trained_ones(how: K.Recurrence, dtype: torch.dtype) -> None:
    for units in (37, 700):
        current, state, c, *_ = (x if x is None else x.to(dtype) for x in inputs(how, units=units))
        _, after, stored = scan_rows.forward(how, current, state, c, True)
        g_out = torch.randn(current.shape, generator=torch.Generator().manual_seed(3), dtype=dtype)
        fixed, trained = (
            scan_rows.backward(how, current, c, stored, g_out, after, trained)[:2] for trained in (False, True)
        )
        assert torch.equal(fixed[0], trained[0]) and torch.equal(fixed[1], trained[1])


@pytest.mark.parametrize("reset", [K.SUBTRACT, K.ZERO])
def test_results_stored_past_the_caches_are_the_same_bits(reset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    how = K.Recurrence(K.LIF, reset, False, K.ARCTAN, 1.7, 0.8)
    # Rows begin at lines: 1,040 lanes, in blocks of 1,024 and 16.
    current, state, c, *_ = inputs(how, batch=5, units=208)
    results = []
    for smallest in (0, 1 << 40):
        monkeypatch.setattr(lines, "STREAMED_BYTES", smallest)
        leaf = current.clone().requires_grad_()
        out, after = scan(leaf, state, c, how)
        assert lines.can_stream(out.detach().numpy().reshape(len(out), -1)) == (smallest == 0)
        (out * current + after[0]).sum().backward()
        results.append([out.detach(), after.detach(), leaf.grad])
    for streamed, stored in zip(*results, strict=True):
        assert torch.equal(streamed, stored)


@pytest.mark.parametrize("how", [h for h in HOWS if h.surrogate == K.ARCTAN and h.kind != K.INTEGRATOR], ids=name)
def test_feedback_is_the_reference(how: K.Recurrence) -> None:
    given = inputs(how, recurrent=True)
    expected = run(S.reference, how, given)
    # Sums over the sources are taken in another order: the membranes agree to rounding, and here so do the spikes.
    assert torch.equal(run(scan, how, given)[0], expected[0])
    check_equal(run(scan, how, given), expected, spikes_equal=False)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize(("outputs", "states"), [(True, False), (False, True)])
def test_a_gradient_that_is_missing_is_zero(recurrent: bool, outputs: bool, states: bool) -> None:
    how = HOWS[1]
    given = inputs(HOWS[1], recurrent=recurrent)

    def form(*args):
        out, after = scan(*args)
        return (out if outputs else out.detach()), (after if states else after.detach())

    expected = run(S.reference, how, given, outputs, states)
    check_equal(run(form, how, given), expected, spikes_equal=False)


@pytest.mark.parametrize("kind", [K.LIF, K.ADAPTIVE])
@pytest.mark.parametrize("recurrent", [False, True])
def test_threads_change_nothing(kind: int, recurrent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks of lanes, and few, on one thread and on three."""
    monkeypatch.setattr(scan_rows, "GRAIN", 1)
    how = K.Recurrence(kind)
    given = inputs(how, steps=40, batch=9, units=300, recurrent=recurrent)
    before = torch.get_num_threads()
    runs = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            runs.append(run(scan, how, given))
    finally:
        torch.set_num_threads(before)
    # The dense products of the way back are torch's own.
    exact = 2 if recurrent else len(runs[0])
    assert all(torch.equal(a, b) for a, b in zip(runs[0][:exact], runs[1][:exact], strict=True))
    check_equal(runs[1], runs[0], spikes_equal=True)


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_run_may_be_cut(recurrent: bool) -> None:
    """Two calls that hand the state on are one: the same spikes, and the same gradients through the cut."""
    how = K.Recurrence(K.ADAPTIVE, K.ZERO)
    given = inputs(how, recurrent=recurrent)

    def two(current, state, c, how, weight, last):
        first, state = scan(current[:33], state, c, how, weight, last)
        second, state = scan(current[33:], state, c, how, weight, first[-1] if recurrent else None)
        return torch.cat([first, second]), state

    check_equal(run(two, how, given), run(scan, how, given), spikes_equal=True)


def test_what_the_compiled_form_does_not_take_goes_through_the_loop() -> None:
    how = K.Recurrence()
    given = [None if x is None else x.double() for x in inputs(how)]
    out, _ = scan(given[0], given[1], given[2], how)
    assert out.dtype == torch.float64 and torch.equal(out, S.reference(*given[:3], how)[0])


def test_inputs_may_lie_in_memory_as_they_like_and_nothing_is_kept_without_gradients() -> None:
    how = K.Recurrence()
    current, state, c, _, _ = inputs(how)
    turned = current.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert torch.equal(scan(turned, state, c, how)[0], scan(current, state, c, how)[0])
    current.requires_grad_()
    with torch.no_grad():
        assert scan(current, state, c, how)[0].grad_fn is None
    kept = scan(current, state, c, how)[0].grad_fn.saved_tensors[-1]
    assert kept.numel() * 10 < current.numel()


def test_numbers_too_small_to_matter_cost_nothing() -> None:
    """Membranes and gradients that decay to denormals: they would take a hundred times as long."""
    import time

    how = K.Recurrence(K.LIF, surrogate=K.TRIANGLE)
    c = torch.stack([torch.full((512,), 0.4), torch.full((512,), 1e6)])
    state = torch.ones(1, 4, 512)

    def seconds(current: torch.Tensor) -> float:
        current.requires_grad_()
        best = 1e9
        for _ in range(3):
            start = time.thread_time()
            _, after = scan(current, state, c, how)
            after.sum().backward()
            best = min(best, time.thread_time() - start)
        return best

    quick = seconds(torch.ones(300, 4, 512))
    assert seconds(torch.zeros(300, 4, 512)) < 4 * quick


def test_the_weights_of_the_feedback_learn_from_dense_outputs_too() -> None:
    """More spikes than the sparse product takes."""
    how = K.Recurrence(K.LIF, K.ZERO)
    given = inputs(how, recurrent=True)
    given[0] = given[0] + 2
    expected = run(S.reference, how, given)
    assert expected[0].mean() > 0.5
    check_equal(run(scan, how, given), expected, spikes_equal=False)
