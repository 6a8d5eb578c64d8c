"""One self-contained HTML page of a run: what went in, what came out, what it cost, where it came from.

`page` renders templates; `charts`, `pixels`, `recordings`, `sections` and `numbers` are the parts.
"""

from __future__ import annotations

from pathlib import Path

from .. import files
from ..errors import NeurosimMissingError, require
from . import continual, convert, memory, simulate, train
from .sections import table_of

PAGE = "report.html"
# By what the manifest calls the kind of run.
RENDER = {
    "continual": continual.render_page,
    "convert": convert.render_page,
    "memory": memory.render_page,
    "train": train.render_page,
}


def write(run_folder: Path | str) -> Path:
    """Write `report.html` into a run folder, from what the folder holds; its path.

    What is absent (no spikes, no config, no results) is said on the page.

    Raises:
        NeurosimMissingError: no such folder, or nothing of a run in it.
        NeurosimFormatError: a JSON file of the run is damaged.
        NeurosimWriteError: the page could not be written; an earlier one is still whole.
    """
    run = Path(run_folder)
    require(not run.is_file(), "report", "needs the folder of a run, not a file", run)
    manifest, metrics = (table_of(_json(run / name)) for name in ("manifest.json", "metrics.json"))
    if not manifest and not metrics:
        raise NeurosimMissingError(f"{run}: holds no run (no manifest.json, no metrics.json); run 'neurosim simulate'")
    render = RENDER.get(str(manifest.get("kind", metrics.get("kind"))), simulate.render_page)
    files.write_text(run / PAGE, render(run, manifest, metrics))
    return run / PAGE


def _json(path: Path) -> object:
    return files.read_json(path) if path.is_file() else {}
