"""Recurrences with states [tokens, H, K, V], in numpy; a head of q, k, v and g may serve several heads of the state."""

from __future__ import annotations

import numpy as np

# Decay of a state: none, one factor a head, or one a key.
NO_DECAY, HEAD_DECAY, KEY_DECAY = range(3)


def _decayed(state: np.ndarray, kind: int, g: np.ndarray | None) -> np.ndarray:
    """Return e^g S: g is [tokens, H] of heads, [tokens, H, K] of keys, or nothing."""
    if kind == NO_DECAY:
        return state
    return state * np.exp(g if kind == KEY_DECAY else g[..., None])[..., None]


def _read(state: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.einsum("bhkv,bhk->bhv", state, q)


def _outer(k: np.ndarray, v: np.ndarray) -> np.ndarray:
    return k[..., :, None] * v[..., None, :]


def _grouped(state: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Repeat the heads of x [tokens, heads, ..] to the heads of the state."""
    return np.repeat(x, state.shape[1] // x.shape[1], 1)


def additive(
    state: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, g: np.ndarray | None, kind: int, scale: float
) -> np.ndarray:
    """S = e^g S + k v^T; o = scale S^T q."""
    q, k, v = (_grouped(state, x) for x in (q, k, v))
    state[:] = _decayed(state, kind, None if g is None else _grouped(state, g)) + _outer(k, v)
    return scale * _read(state, q)


def delta(
    state: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    g: np.ndarray | None,
    beta: np.ndarray,
    kind: int,
    scale: float,
) -> np.ndarray:
    """S = e^g S, then for each step u = beta (v - S^T k), S += k u^T; k [tokens, steps, heads, K], o = scale S^T q."""
    state[:] = _decayed(state, kind, None if g is None else _grouped(state, g))
    for step in range(k.shape[1]):
        own = _grouped(state, k[:, step])
        state += _outer(own, beta[:, step, :, None] * (v[:, step] - _read(state, own)))
    return scale * _read(state, _grouped(state, q))


def rank_one(
    state: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    g: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    kind: int,
) -> np.ndarray:
    """S = e^g S + b (S^T a)^T + k v^T, S^T a before the decay; o = S^T q (RWKV-7, Comba)."""
    state[:] = _decayed(state, kind, g) + _outer(b, _read(state, a)) + _outer(k, v)
    return _read(state, q)


def bonus(
    state: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, g: np.ndarray, u: np.ndarray, kind: int
) -> np.ndarray:
    """o = S^T q + (q . u k) v, then S = e^g S + k v^T (RWKV-5 and 6, pLSTM)."""
    out = _read(state, q) + (q * u * k).sum(-1, keepdims=True) * v
    state[:] = _decayed(state, kind, g) + _outer(k, v)
    return out


def several_states(
    state: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    transition: np.ndarray,
    source: np.ndarray,
    mark: np.ndarray,
) -> np.ndarray:
    """o_p = sum_j m_pj S_j^T q, then S_i = sum_j t_ij S_j + k (sum_p s_ip v_p)^T (pLSTM).

    state [tokens, H, J K, V], v [tokens, H, P, V], source [tokens, H, J, P], mark [tokens, H, P, J].
    """
    tokens, heads, _, values = state.shape
    several = state.reshape(tokens, heads, source.shape[-2], -1, values)
    out = np.einsum("bhpj,bhk,bhjkv->bhpv", mark, q, several)
    new = np.einsum("bhip,bhk,bhpv->bhikv", source, k, v)
    several[:] = np.einsum("bhij,bhjkv->bhikv", transition, several) + new
    return out
