"""NAB's rules of scoring, against a plain count for each threshold, cases whose scores are known, and its download."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nab
import numpy as np
import pytest

from neurosim import NeurosimError

COUNT = 400


def series(windows: list[tuple[int, int]]) -> nab.LabelledSeries:
    return nab.LabelledSeries("a", np.arange(COUNT, dtype=float), np.zeros(COUNT), windows)


def plain(each: nab.LabelledSeries, scores: np.ndarray, threshold: float) -> float:
    """The sum of one series by the text of the rules."""

    def worth(y: float) -> float:
        return -1.0 if y >= 3 else 2 / (1 + math.exp(5 * y)) - 1

    total = 0.0
    alarms = [k for k in range(each.probation, COUNT) if scores[k] >= threshold]
    for first, last in each.windows:
        inside = [k for k in alarms if first <= k <= last]
        if not inside:
            total -= 1.0 if last >= each.probation else 0.0
            continue
        total += worth(-(last - inside[0] + 1) / (last - first + 1)) / worth(-1.0)
    for k in alarms:
        if any(first <= k <= last for first, last in each.windows):
            continue
        before = [(first, last) for first, last in each.windows if last < k]
        y = 3.0 if not before else (k - before[-1][1]) / (before[-1][1] - before[-1][0])
        total += 0.11 * worth(y)
    return total


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold_is_that_of_a_plain_count(seed: int) -> None:
    random = np.random.default_rng(seed)
    every = [series([(90, 130), (200, 240)]), series([]), series([(10, 40), (350, 390)])]
    # Few distinct scores: many records share a threshold.
    scores = [np.round(random.uniform(0, 1, COUNT) ** 0.2, 2) for _ in every]
    for each, own in zip(every, scores, strict=True):
        for first, _ in each.windows:
            own[first + int(random.integers(5, 30))] = 0.995
    threshold, total, none = nab.best_threshold(
        [nab.changes(each, own) for each, own in zip(every, scores, strict=True)]
    )
    # The window that lies in the probation counts nowhere.
    assert none == -3.0
    levels = sorted({value for own in scores for value in own.tolist()})
    sums = {t: sum(plain(each, own, t) for each, own in zip(every, scores, strict=True)) for t in levels}
    assert total == pytest.approx(max(sums.values())) and sums[threshold] == pytest.approx(total)


def test_perfect_alarms_score_100_and_none_0() -> None:
    each = series([(90, 130), (200, 240)])
    perfect = np.zeros(COUNT)
    perfect[[90, 200]] = 1.0
    _, total, none = nab.best_threshold([nab.changes(each, perfect)])
    assert nab.normalised(total, none) == pytest.approx(100.0)
    threshold, total, none = nab.best_threshold([nab.changes(series([(90, 130)]), np.zeros(COUNT))])
    assert threshold == 1.1 and nab.normalised(total, none) == 0.0


def test_a_folder_of_nab_is_read_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data" / "made"
    folder.mkdir(parents=True)
    times = np.datetime64("2014-04-01T00:00:00") + np.arange(300) * np.timedelta64(5, "m")
    values = np.sin(np.arange(300) / 4)
    values[200] = 9.0
    rows = [f"{str(moment).replace('T', ' ')},{value}" for moment, value in zip(times, values, strict=True)]
    (folder / "a.csv").write_text("\n".join(["timestamp,value", *rows]))
    window = [str(times[k]).replace("T", " ") + ".000000" for k in (190, 210)]
    labels = {"made/a.csv": [window], "made/not_here.csv": []}
    (tmp_path / "combined_windows.json").write_text(json.dumps(labels))
    nab.main(["--data", str(tmp_path), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert (result["series"], result["records"]) == (1, 300)
    # The value leaves the range in the middle of the window: y = -11 / 21, worth .8757 of a window.
    assert result["runs"][0]["score"] == pytest.approx(100 * (0.8757 + 1) / 2, abs=0.01)


def test_series_are_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    content = {"data/made/a.csv": b"timestamp,value\n", "labels/combined_windows.json": b"{}"}
    for name, text in content.items():
        (site / name).parent.mkdir(parents=True)
        (site / name).write_bytes(text)
    digests = {name: hashlib.md5(text).hexdigest() for name, text in content.items()}
    monkeypatch.setattr(nab, "DIGESTS", tmp_path / "files.json")
    nab.DIGESTS.write_text(json.dumps(digests))
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            asked.append(self.path)

    folder = tmp_path / "NAB"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        assert [path.read_bytes() for path in nab.fetch(folder, address)] == list(content.values())
        assert nab.fetch(folder, address) == [folder / name for name in content]
        assert len(asked) == 2, "what is there and right is not downloaded again"
        (folder / "data/made/a.csv").unlink()
        (site / "data/made/a.csv").write_bytes(b"timestamp,other\n")
        with pytest.raises(NeurosimError, match=r"a\.csv"):
            nab.fetch(folder, address)
        server.shutdown()
    assert not (folder / "data/made/a.csv").exists()


def test_the_manifest_names_all_series() -> None:
    digests = json.loads(nab.DIGESTS.read_text())
    assert len(digests) == 58 + 1 and sum(name.startswith("data/") for name in digests) == 58
    root = Path(os.environ.get("NEUROSIM_DATA", "")) / "NAB"
    there = [name for name in digests if (root / name).is_file()]
    for name in there:
        assert hashlib.md5((root / name).read_bytes()).hexdigest() == digests[name], name
