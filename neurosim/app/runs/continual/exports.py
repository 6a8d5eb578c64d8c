"""The measures of a comparison as CSV and LaTeX, for papers and spreadsheets."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ....base.atomic import write_text
from ....learning.continual.matrix import MEASURES, Estimate
from .paired import against_best, p_text
from .result import ContinualResult

CSV = "measures.csv"
LATEX = "measures.tex"
# Characters that LaTeX takes for commands, and how they are written.
SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
SPECIAL |= {each: f"\\{each}" for each in "&%$#_{}"}


def write_tables(run: Path, result: ContinualResult) -> None:
    """Write `measures.csv`, a row for each learner and measure, and `measures.tex`, a `tabular` with a row a learner.

    Raises:
        NeurosimWriteError: a file cannot be written.
    """
    write_text(run / CSV, csv_of(result))
    write_text(run / LATEX, latex_of(result))


def csv_of(result: ContinualResult) -> str:
    """Return a row for each learner and measure: seeds, mean, sd, ends of Student's 95 % interval; for ACC also the p
    of a paired t test against the best on the same stream."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["learner", "measure", "seeds", "mean", "sd", "low", "high", "p_to_best"])
    p_values = against_best(result.rows)
    for row in result.rows:
        for name in MEASURES:
            estimate = row.measures.get(name)
            if estimate is not None:
                p = p_values[row.name] if name == "acc" else None
                writer.writerow(
                    [row.name, name, estimate.n, estimate.mean, estimate.sd, estimate.low, estimate.high, p]
                )
    return text.getvalue()


def latex_of(result: ContinualResult) -> str:
    """Return a table that needs no package."""
    names = list(MEASURES)
    p_values = against_best(result.rows)
    heads = " & ".join(["Learner", *(MEASURES[name].title for name in names), "$p$"])
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(names) + 1)}}}", r"\hline", rf"{heads} \\", r"\hline"]
    for row in result.rows:
        cells = [_escaped(row.name), *(_cell(row.measures.get(name)) for name in names)]
        cells.append(f"${p_text(p_values[row.name])}$")
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "--"
    if estimate.low is None or estimate.high is None:
        return f"${estimate.mean:.3f}$"
    return rf"${estimate.mean:.3f} \pm {(estimate.high - estimate.low) / 2:.3f}$"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(each, each) for each in text)
