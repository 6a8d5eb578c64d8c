"""Time a token of kinds whose tokens see a window or few others, by the length of the text.

    python benchmarks/windows.py [KIND ..] [--window 16] [--lengths 512,4096,32768] [--repeats 3] [--json]

A layer of width 64 with a window of 16 tokens, or as many picked ones: the chunked form over a whole text, and with its
gradients; the recurrence, and the compiled step of a model of one layer, for the last tokens of the text. Medians of
CPU time on one thread, in microseconds a token, and their growth from the shortest text to the longest. `softmax`
is beside them, and `lightning`, whose state has a fixed size. Peak memory is that of a process of its own that computes
the chunked form with its gradients; torch and the compiled kernels take most of it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import frame
import torch
from process_memory import peak_mib

from neurosim.language import Decoder, Depth, LanguageConfig, LanguageModel, Mixer, MixerSpec, build

WIDTH = 64
STEPS = 64  # tokens of the recurrence and of the compiled step that are timed
HEADS = {"num_heads": 2}
MAMBA = {"mamba": {"head_dim": 32, "state_size": 16}}
KINDS = ("window", "tcnca", "bmojo", "hax", "sea", "seqboat", "local_linear", "window_linear", "lightning")
# Lightning attention: retention with its decays and activations.
KIND_OF = {"lightning": "retention"}


def options_of(kind: str, window: int) -> dict[str, Any]:
    """Return the options in which a token sees `window` others, or chooses among as many."""
    return {
        "bmojo": {**HEADS, **MAMBA, "window_size": window, "eidetic": window},
        "hax": {**MAMBA, "key_dim": 32, "topk": window},
        "lightning": {
            **HEADS,
            "decay": "lightning",
            "feature_map": "silu",
            "gate_fn": "sigmoid",
            "rotary": False,
        },
        "local_linear": {"num_heads": 4, "window_size": window},
        "sea": {**HEADS, "topk": window, "columns": 32},
        "seqboat": {"slots": window},
        "softmax": HEADS,
        "tcnca": {"window_size": window, "moving": True, "simple": True},
        "window": {**HEADS, "window_size": window},
        "window_linear": {"attention": HEADS, "window_size": window},
    }[kind]


def spec_of(kind: str, window: int) -> MixerSpec:
    """Return the kind of attention of a name, with its options."""
    return MixerSpec(KIND_OF.get(kind, kind), options_of(kind, window))


def built(kind: str, window: int) -> Mixer:
    """Return a layer of width 64."""
    spec = spec_of(kind, window)
    return build(spec.kind, WIDTH, Depth(), spec.options)


def microseconds(call: Callable[[], object], tokens: int, repeats: int) -> float:
    """Return the median CPU time of a call, by token, after one call to warm up."""
    call()
    return statistics.median(frame.seconds(call, time.process_time) for _ in range(repeats)) / tokens * 1e6


def measure(kind: str, window: int, length: int, repeats: int) -> dict[str, Any]:
    """Return the times of one kind at one length."""
    torch.manual_seed(0)
    mixer = built(kind, window)
    x = torch.randn(1, length, WIDTH)

    def train() -> None:
        y, _ = mixer(x)
        loss = y.square().mean()
        if mixer.auxiliary is not None:
            loss = loss + mixer.auxiliary
        loss.backward()

    row: dict[str, Any] = {"kind": kind, "tokens": length}
    with torch.no_grad():
        row["chunked"] = microseconds(lambda: mixer(x), length, repeats)
        _, state = mixer(x[:, : length - STEPS])

        def steps() -> None:
            # The text goes on from repeat to repeat.
            nonlocal state
            for t in range(length - STEPS, length):
                _, state = mixer(x[:, t : t + 1], state)

        row["recurrence"] = microseconds(steps, STEPS, repeats)
    row["with gradients"] = microseconds(train, length, repeats)
    model = LanguageModel(LanguageConfig((spec_of(kind, window),), width=WIDTH))
    decoder = Decoder(model.eval())
    for token in range(length - STEPS):
        decoder.step([token % 256])
    start = time.process_time()
    for token in range(STEPS):
        decoder.step([token])
    row["compiled"] = (time.process_time() - start) / STEPS * 1e6
    return row


def peak(kind: str, window: int, length: int) -> float:
    """Return the largest MiB of this process after the chunked form and its gradients."""
    torch.manual_seed(0)
    mixer = built(kind, window)
    mixer(torch.randn(1, length, WIDTH))[0].sum().backward()
    return peak_mib()


def peak_apart(kind: str, window: int, length: int) -> float:
    """Return `peak` of a process of its own: the largest memory of a process never falls."""
    command = [sys.executable, __file__, kind, "--window", str(window), "--peak", str(length)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = frame.arguments(__doc__, repeats=3)
    parser.add_argument("kinds", nargs="*", help="kinds (default: all)")
    parser.add_argument("--window", type=int, default=16, help="tokens seen, and tokens of a choice (default 16)")
    parser.add_argument("--lengths", default="512,4096,32768", help="tokens of the texts (default 512,4096,32768)")
    parser.add_argument("--peak", type=int, help="print the peak memory at this length alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        print(peak(options.kinds[0], options.window, options.peak))
        return
    lengths = [int(length) for length in options.lengths.split(",")]
    rows = []
    for kind in options.kinds or KINDS:
        own = []
        for length in lengths:
            frame.say(f"{kind}, {length} tokens")
            row = measure(kind, options.window, length, options.repeats)
            own.append(row | {"peak MiB": peak_apart(kind, options.window, length)})
        growth = {name: own[-1][name] / own[0][name] for name in own[0] if name not in ("kind", "tokens", "peak MiB")}
        rows += [*own, {"kind": kind, "tokens": "growth", **growth}]
    frame.report(options, frame.records(rows), {"window": options.window, "rows": rows})


if __name__ == "__main__":
    main()
