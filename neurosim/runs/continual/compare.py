"""Several continual runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ... import files
from ...errors import NeurosimInputError, require
from ..folder import CONTINUAL, METRICS, check_out, open_run, read_metrics, record
from .run import Finish, Result


def compare(
    runs: Sequence[Path],
    out: Path | None = None,
    command: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
    finish: Finish = (),
) -> Result:
    """The rows of all `runs` in a folder of their own, written as a run is.

    A row keeps its name where it is the only one of that name, and is else named with its run.

    Raises:
        NeurosimMissingError: no run there, or one without results.
        NeurosimInputError: a run of another kind, or runs measured on different items.
    """
    if out is not None:
        check_out(out)
    found = [(path, _metrics(path)) for path in runs]
    on = sorted({str(metrics["on"]) for _, metrics in found})
    require(len(on) == 1, "compare", "needs runs measured on the same items", " and ".join(on))
    names = [row["name"] for _, metrics in found for row in metrics["rows"]]
    every = [
        {**row, "name": row["name"] if names.count(row["name"]) == 1 else f"{row['name']} ({path.resolve().name})"}
        for path, metrics in found
        for row in metrics["rows"]
    ]
    config = {"runs": [str(path.resolve()) for path in runs]}
    with record(config, "continual-compare", out, command, say) as folder:
        folder.note(kind=CONTINUAL, compared=config["runs"])
        result: dict[str, Any] = {
            "kind": CONTINUAL,
            "stream": found[0][1]["stream"],
            "on": on[0],
            "compared": config["runs"],
            "rows": every,
            "failures": [],
            "run": str(folder.path),
        }
        files.write_json(folder.path / METRICS, result)
        folder.close("done")
        for step in finish:
            step(folder.path)
        return result


def _metrics(path: Path) -> Result:
    run = open_run(path)
    if run.manifest.get("kind") != CONTINUAL:
        raise NeurosimInputError(f"{path}: is no continual run; give folders that 'neurosim continual run' wrote")
    metrics = read_metrics(run)
    try:
        return {**metrics, "rows": list(metrics["rows"]), "on": metrics["on"], "stream": metrics["stream"]}
    except (KeyError, TypeError) as error:
        raise NeurosimInputError(f"{path / METRICS}: lacks what a continual run writes ({error}); run again") from None
