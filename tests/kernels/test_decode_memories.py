"""Operations of the kinds that keep tokens or train a network, against their references, token by token."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.operations import HEADS, KEYS, SIZES, TOKENS, VALUES, Draws, assert_close, empty, run

from neurosim.kernels.decode.attention import reference as attention_reference
from neurosim.kernels.decode.attention import sparse, windows
from neurosim.kernels.decode.networks import cpu as networks
from neurosim.kernels.decode.networks import reference as networks_reference
from neurosim.kernels.decode.vectors import convolutions as convolution_kernels
from neurosim.kernels.decode.vectors import reference as vectors_reference
from neurosim.kernels.decode.vectors.reference import softmax

FEW = HEADS // 2
LENGTH = 9
# Operands of attention of one token, in which two heads share a key.
ONE_TOKEN = {**SIZES, "tokens": 1, "group": 2, "scale": 0.4}


def test_a_dilated_convolution() -> None:
    draw = Draws()
    width = 5
    size = 3
    step = 2
    weight = draw(size, width)
    ring = np.zeros((TOKENS, 5, width), np.float32)
    seen = []
    for position in range(LENGTH):
        x = draw(TOKENS, width)
        out = empty(TOKENS, width)
        run(
            convolution_kernels.dilate(
                x=x, width=width, tokens=TOKENS, size=size, dilation=step, weight=weight, ring=ring, out=out
            ),
            width,
            position,
        )
        assert_close(out, [vectors_reference.dilate(x[i], [y[i] for y in seen], weight, step) for i in range(TOKENS)])
        seen.append(x)


@pytest.mark.parametrize("capacity", [4, 16])
def test_local_regression(capacity: int) -> None:
    draw = Draws()
    ridge = np.abs(Draws()(HEADS)) + np.float32(0.5)
    seen = []
    memory = np.zeros((1, capacity, FEW, KEYS + VALUES), np.float32)
    spare = np.zeros(KEYS * (KEYS + 2))
    for position in range(LENGTH):
        q = draw(HEADS, KEYS)
        k = draw(FEW, KEYS)
        v = draw(FEW, VALUES)
        out = empty(HEADS, VALUES)
        seen.append((k, v))
        run(
            windows.regression(
                q=q,
                k=k,
                v=v,
                **ONE_TOKEN,
                capacity=capacity,
                memory=memory,
                weights=empty(capacity),
                out=out,
                ridge=ridge,
                spare=spare,
            ),
            FEW,
            position,
        )
        keys, values = (np.stack([token[n] for token in seen[-capacity:]]) for n in (0, 1))
        for h in range(HEADS):
            own = attention_reference.regression(q[h], keys[:, h // 2].astype(float), values[:, h // 2], 0.4, ridge[h])
            assert_close(out[h], own)


@pytest.mark.parametrize(("interval", "restarts", "rows"), [(3, 0, 1), (1, 1, 2)])
def test_a_window_of_checkpoints_and_one_that_begins_anew(interval: int, restarts: int, rows: int) -> None:
    draw = Draws()
    capacity = 4
    kept = []
    memory = np.zeros((1, capacity, rows, FEW * (KEYS + VALUES)), np.float32)
    weights = empty(capacity * rows)
    for position in range(LENGTH):
        q = draw(1, HEADS, KEYS)
        k = draw(rows, FEW, KEYS)
        v = draw(rows, FEW, VALUES)
        out = empty(1, HEADS, VALUES)
        kept = [] if restarts and position % capacity == 0 else kept
        own = [*kept, *zip(k, v, strict=True)]
        run(
            windows.window(
                q=q,
                k=k,
                v=v,
                **ONE_TOKEN,
                capacity=capacity,
                memory=memory,
                weights=weights,
                out=out,
                learnt_count=0,
                interval=interval,
                restarts=restarts,
                rows=rows,
            ),
            FEW,
            position,
        )
        keys, values = (np.stack([token[n] for token in own]) for n in (0, 1))
        assert_close(out[0], attention_reference.window(q[0], keys, values, len(own), 0.4)[0])
        if restarts or position % interval == interval - 1:
            kept = own


@pytest.mark.parametrize("distances", [0, 4])
@pytest.mark.parametrize("squared", [False, True])
def test_a_window_of_each_sequence(distances: int, squared: bool) -> None:
    """Sequences that a mask leaves out neither write nor count; a bias knows how far keys lie in the text."""
    draw = Draws()
    capacity = 3
    bias = draw(distances) if distances else None
    positions = np.zeros((TOKENS, capacity), np.float32) if distances else None
    memory = np.zeros((TOKENS, capacity, KEYS + VALUES), np.float32)
    counts = np.zeros(TOKENS, np.float32)
    seen: list[list[tuple[np.ndarray, np.ndarray, int]]] = [[] for _ in range(TOKENS)]
    for position in range(LENGTH):
        q = draw(TOKENS, 1, KEYS)
        k = draw(TOKENS, KEYS)
        v = draw(TOKENS, VALUES)
        out = empty(TOKENS, 1, VALUES)
        mask = np.array([1, position % 2, position % 3 == 0], np.uint8)
        run(
            windows.window(
                q=q,
                k=k,
                v=v,
                heads=1,
                keys=KEYS,
                values=VALUES,
                group=1,
                tokens=TOKENS,
                capacity=capacity,
                memory=memory,
                scale=0.4,
                weights=empty(capacity),
                out=out,
                learnt_count=0,
                interval=1,
                restarts=0,
                rows=1,
                counts=counts,
                bias=bias,
                positions=positions,
                distances=distances,
                squared=squared,
                mask=mask,
            ),
            1,
            position,
        )
        for i in np.flatnonzero(mask):
            seen[i].append((k[i], v[i], position))
            keys, values, at = map(np.array, zip(*seen[i][-capacity:], strict=True))
            scores = 0.4 * keys @ q[i, 0]
            if bias is not None:
                scores = scores + bias[np.minimum(position - at, distances - 1)]
            assert_close(out[i, 0], (np.maximum(scores, 0) ** 2 if squared else softmax(scores)) @ values)
        assert np.isnan(out[mask == 0]).all()


@pytest.mark.parametrize("parts", [3, 6])
def test_attention_over_the_best_parts(parts: int) -> None:
    draw = Draws()
    count = 4
    seen = []
    memory = np.zeros((1, LENGTH, FEW * (KEYS + VALUES)), np.float32)
    spare = np.zeros(parts + count, np.int32)
    for position in range(LENGTH):
        q = draw(HEADS, KEYS)
        k = draw(FEW, KEYS)
        v = draw(FEW, VALUES)
        out = empty(HEADS, VALUES)
        values = np.round(draw(HEADS, parts))  # some are equal
        seen.append((k, v))
        run(
            sparse.attend_best_parts(
                q=q,
                k=k,
                v=v,
                **ONE_TOKEN,
                capacity=LENGTH,
                memory=memory,
                weights=empty(LENGTH),
                out=out,
                part_values=values,
                parts=parts,
                picked=count,
                picks=spare,
            ),
            FEW,
            position,
        )
        for h in range(HEADS):
            picks = attention_reference.in_best_parts(values[h], position + 1, count)
            keys, own = (np.stack([token[n][h // 2] for token in seen]) for n in (0, 1))
            assert_close(out[h], attention_reference.attend(q[h], keys, own, 0.4, picks))


def test_attention_over_a_bucket_and_the_best() -> None:
    draw = Draws()
    count = 2
    length = 40
    planes = draw(KEYS, sparse.PLANES)
    planes[:, 2:] = 0  # four buckets: they fill
    memory = np.zeros((TOKENS, length, KEYS + VALUES + 2), np.float32)
    last = np.zeros((TOKENS, sparse.BUCKETS), np.float32)
    best = np.zeros((TOKENS, count, 2), np.float32)
    seen: list[list[np.ndarray]] = [[], [], [], []]

    def buckets(x: np.ndarray) -> np.ndarray:
        return (x @ planes > 0) @ 2 ** np.arange(sparse.PLANES)

    for position in range(length):
        q = draw(TOKENS, KEYS)
        k = draw(TOKENS, KEYS)
        v = draw(TOKENS, VALUES)
        out = empty(TOKENS, VALUES)
        score = np.round(draw(TOKENS))
        hashed_q = draw(TOKENS, KEYS)
        hashed_k = draw(TOKENS, KEYS)
        for kept, value in zip(seen, (k, v, buckets(hashed_k), score), strict=True):
            kept.append(value)
        spare = np.zeros(2 * count + 1, np.int32)
        run(
            sparse.attend_picks(
                q=q,
                k=k,
                v=v,
                keys=KEYS,
                values=VALUES,
                tokens=TOKENS,
                chosen=count,
                planes=planes,
                last=last,
                capacity=length,
                memory=memory,
                scale=0.4,
                weights=empty(length),
                out=out,
                score=score,
                best=best,
                picks=spare,
                hashed_q=hashed_q,
                hashed_k=hashed_k,
            ),
            TOKENS,
            position,
        )
        for i in range(TOKENS):
            keys, values, own, ranks = (np.stack(kept)[:, i] for kept in seen)
            picks = attention_reference.pick_tokens(own, buckets(hashed_q[i]), ranks, count)
            assert_close(out[i], attention_reference.attend(q[i], keys, values, 0.4, picks))


@pytest.mark.parametrize(("slots", "fades"), [(2, True), (0, True), (2, False)])
def test_memories_of_bmojo(slots: int, fades: bool) -> None:
    draw = Draws()
    w = 3
    size = 4
    ring = np.zeros((1, HEADS, 2 * w, 4 * size + 1), np.float32)
    kept = np.zeros((1, HEADS, slots, 2 * size), np.float32)
    best = np.zeros((1, HEADS, slots, 2), np.float32)
    last = np.zeros((1, w, 5), np.float32)
    seen = []
    tokens = [np.zeros(5, np.float32)] * w
    for position in range(4 * w):
        x = draw(1, 5)
        surprise = empty(1)
        run(sparse.innovation(x=x, width=5, ring=last, length=w, out=surprise), 1, position)
        assert_close(surprise, [attention_reference.innovation(x[0], tokens[-w:])])
        tokens.append(x[0])
        q, k, v, faded_k, faded_v = (draw(HEADS, size) for _ in range(5))
        seen.append((k, v, faded_k, faded_v, float(surprise[0])))
        out = empty(HEADS, size)
        given = [faded_k, faded_v] if fades else [None, None]
        sizes = {"heads": HEADS, "size": size, "tokens": 1, "window": w, "slots": slots}
        memory = {"ring": ring, "innovation": surprise, "kept": kept, "best": best, "weights": empty(2 * w + slots)}
        run(
            sparse.attend_memories(q=q, k=k, v=v, state_k=given[0], state_v=given[1], **sizes, **memory, out=out),
            HEADS,
            position,
        )
        old = max(position - w + 1, 0)
        if fades:
            far = range(max(position - 2 * w + 1, 0), old)
        else:
            far = ()
        picks = [*range(old, position + 1), *attention_reference.surprising([token[4] for token in seen[:old]], slots)]
        for h in range(HEADS):
            keys = np.stack([seen[t][0][h] for t in picks] + [seen[t][2][h] for t in far])
            values = np.stack([seen[t][1][h] for t in picks] + [seen[t][3][h] for t in far])
            assert_close(out[h], attention_reference.attend(q[h], keys, values, size**-0.5, np.arange(len(keys))))


# Networks that learn: two, of one to three matrices, in spans of two tokens.
NETWORKS = 2
WIDTH = 3
HIDDEN = 4
SPAN = 2
LOSS_EXPONENT = 3.0
RETENTION_EXPONENT = 4.0


class PlainNetwork:
    """A network that learns, by the reference, whose derivatives are differences.

    Attributes:
        anchor, a, step: vectors of all weights, changed in place: at the start of the span, after the last token, and
            the last step of the momentum.
    """

    def __init__(self, state: np.ndarray, depth: int, retention: int, near: bool) -> None:
        self.anchor, self.a, self.step = state
        self.shapes = shapes_of(depth)
        self.retention = retention
        self.near = near

    def matrices(self, a: np.ndarray) -> list[np.ndarray]:
        """Return a vector of weights as matrices."""
        ends = np.cumsum([rows * columns for rows, columns in self.shapes])
        return [part.reshape(s) for part, s in zip(np.split(a, ends[:-1]), self.shapes, strict=True)]

    def retained(self, parts: list[np.ndarray]) -> list[np.ndarray]:
        return [networks_reference.retained(part, self.retention, RETENTION_EXPONENT) for part in parts]

    def exact(self, a: np.ndarray, x: np.ndarray) -> np.ndarray:
        return networks_reference.recall(self.retained(self.matrices(a)), x)

    def read(self, anchor: np.ndarray, a: np.ndarray, x: np.ndarray, is_last: bool) -> np.ndarray:
        """Return the output at a token, the last of its span or not; with `near` it is of first order in a - anchor."""
        first = self.matrices(anchor)
        if self.near and self.retention == networks.PLAIN:
            return networks_reference.near(lambda w: networks_reference.recall(w, x), first, self.matrices(a))
        if self.near and not is_last:
            return networks_reference.recall(networks_reference.near(self.retained, first, self.matrices(a)), x)
        return self.exact(a, x)

    def of_weights(self, gate: np.ndarray) -> np.ndarray:
        """Return a gate of each weight: the last matrix has those of its columns, the others have their mean."""
        last = np.broadcast_to(gate, self.shapes[-1]).ravel()
        return np.concatenate([np.full(self.a.size - last.size, gate.mean()), last])

    def learn(
        self, k: np.ndarray, v: np.ndarray, loss: int, gates: dict[str, np.ndarray], delta: np.ndarray, momentum: bool
    ) -> None:
        parts = self.retained(self.matrices(self.anchor.copy()))
        slopes = networks_reference.gradient(parts, k.astype(float), v, loss, LOSS_EXPONENT, delta)
        change = -self.of_weights(gates["theta"]) * np.concatenate([slope.ravel() for slope in slopes])
        if momentum:
            self.step[:] = self.of_weights(gates["momentum"]) * self.step + change
            change = self.step
        self.a[:] = self.of_weights(gates["keep"]) * self.a + change


def shapes_of(depth: int) -> list[tuple[int, int]]:
    inner = [HIDDEN] * (depth - 1)
    return list(zip([WIDTH, *inner], [*inner, WIDTH], strict=True))


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(
    ("loss", "retention", "momentum", "gates"),
    [
        (networks.SQUARED, networks.PLAIN, True, 1),
        (networks.SQUARED, networks.PLAIN, True, 3),
        (networks.POWER, networks.NORM, False, 3),
        (networks.POWER, networks.PRINTED, False, 1),
        (networks.HUBER, networks.PLAIN, False, 1),
        (networks.SQUARED, networks.COLUMNS, False, 1),
    ],
)
@pytest.mark.parametrize("near", [False, True])
def test_networks_that_learn(loss: int, retention: int, momentum: bool, gates: int, depth: int, near: bool) -> None:
    draw = Draws()
    weights = sum(rows * columns for rows, columns in shapes_of(depth))
    memory = draw(1, NETWORKS, 3, weights)
    plain = [PlainNetwork(state, depth, retention, near) for state in memory[0].astype(float)]
    fixed = {
        "memory": memory,
        "heads": NETWORKS,
        "keys": WIDTH,
        "tokens": 1,
        "layers": depth,
        "hidden": HIDDEN,
        "weights": weights,
        "span": SPAN,
        "spare": empty(networks.spare_size(WIDTH, HIDDEN, depth, weights)),
    }
    rule = {
        "loss": loss,
        "retention": retention,
        "loss_exponent": LOSS_EXPONENT,
        "retention_exponent": RETENTION_EXPONENT,
        "near": near,
        "gates": gates,
    }
    for position in range(4):
        q, k, v = (draw(NETWORKS, WIDTH) for _ in "qkv")
        of_token = {name: np.abs(draw(NETWORKS, gates)) / 4 for name in ("keep", "theta", "momentum")}
        delta = np.abs(draw(NETWORKS, WIDTH)) / 4
        operands = {"q": q, "k": k, "v": v, **of_token}
        if not momentum:
            operands["momentum"] = None
        if loss == networks.HUBER:
            operands["delta"] = delta
        recalled = empty(NETWORKS, WIDTH)
        out = empty(NETWORKS, WIDTH)
        run(networks.recall(**fixed, x=q, out=recalled), NETWORKS, position)
        run(networks.train(**fixed, **rule, **operands, out=out), NETWORKS, position)
        for h, net in enumerate(plain):
            if position % SPAN == 0:
                net.anchor[:] = net.a
            if retention == networks.PLAIN:
                assert_close(recalled[h], net.exact(net.anchor, q[h]))
            net.learn(k[h], v[h], loss, {name: gate[h] for name, gate in of_token.items()}, delta[h], momentum)
            # Steps of up to hundreds, of the cube of the error, leave different states in float32: it reads its own.
            anchor, a = memory[0, h, :2].astype(float) if near else (net.anchor, net.a)
            expected = net.read(anchor, a, q[h].astype(float), (position + 1) % SPAN == 0)
            np.testing.assert_allclose(out[h], expected, rtol=2e-4, atol=2e-4)


def test_slots_that_are_read_by_a_softmax() -> None:
    draw = Draws()
    count = 7
    state = draw(TOKENS, HEADS, count, KEYS + VALUES)
    keys = state[..., :KEYS].astype(float)
    values = state[..., KEYS:].astype(float)
    for _ in range(2):
        q = draw(TOKENS, HEADS, KEYS)
        k = draw(TOKENS, FEW, KEYS)
        v = draw(TOKENS, FEW, VALUES)
        g = -np.abs(draw(TOKENS, FEW, count))
        out = empty(TOKENS, HEADS, VALUES)
        run(
            windows.slots(
                state=state,
                **SIZES,
                q=q,
                k=k,
                v=v,
                g=g,
                k_group=2,
                v_group=2,
                g_group=2,
                slots=count,
                weights=empty(count),
                out=out,
            ),
            HEADS,
        )
        for i, h in np.ndindex(TOKENS, HEADS):
            own = attention_reference.slots(keys[i, h], values[i, h], q[i, h], k[i, h // 2], v[i, h // 2], g[i, h // 2])
            assert_close(out[i, h], own)
