"""Text that `neurosim convert linearise` prints."""

from __future__ import annotations

from ...frame.tables import energy_rows, file_rows, grid, quantity, table
from .result import SPIKING, LinearisationResult, LinearisationStage

TITLES = {
    "softmax": "softmax",
    "match": "linear, layers matched",
    "tune": "linear, whole tuned",
    "spikes": "in spikes",
}


def render(result: LinearisationResult) -> str:
    """Return what each stage cost, and the files."""
    kinds = " ".join(result.student_kinds)
    head = f"{result.network}: {result.parameters:,} weights, layers {kinds}, seed {result.seed}"
    heads = ("model", "loss", "perplexity", "same token", "state", "time", "updates")
    rows = [
        ("spikes a channel", f"{result.spikes:.3f}; {result.silent:.1%} of channels are silent"),
        ("perplexity of spikes", f"{result.conversion_increase:+.2%} above the linear model's"),
        ("operations", f"{quantity(result.operations)} a token; dense {quantity(result.dense_operations)}"),
        *energy_rows(result.energy, "a token"),
        *file_rows(result),
    ]
    about = f"  losses in nats a token on {result.tokens:,} tokens in windows of {result.length}"
    lines = [head, grid(heads, [_stage(stage) for stage in result.stages]), about, "", table(rows)]
    follow = f"  Next: neurosim convert generate {result.run}/{SPIKING}, or neurosim convert {result.run}"
    return "\n".join([*lines, *(f"  {remark}" for remark in result.remarks), "", follow])


def _stage(stage: LinearisationStage) -> tuple[str, ...]:
    return (
        TITLES.get(stage.name, stage.name),
        f"{stage.loss:.4f}",
        f"{stage.perplexity_increase:+.2%}",
        f"{stage.agreement:.1%}",
        quantity(stage.state_bytes, "B"),
        "-" if stage.seconds is None else quantity(stage.seconds, "s"),
        f"{stage.updates:,}" if stage.updates else "-",
    )
