"""`neurosim convert lm-train`: an interrupted training continues to the model of an uninterrupted one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from neurosim.app import RunOptions
from neurosim.app.runs.convert import LmTrainingKind
from neurosim.app.runs.convert import text as lm
from neurosim.app.runs.frame.lifecycle import resume, start
from neurosim.base import NeurosimInputError, NeurosimInterruptedError
from neurosim.language import read_model
from neurosim.language.attention.train import TrainingProgress


@pytest.mark.slow
def test_an_interrupted_training_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(b"the cat sat on the mat. " * 60)
    sets = {
        "text.file": str(file),
        "model.kind": "gla",
        "model.options": {"num_heads": 2},
        **{"model.layers": 1, "model.width": 16, "model.hidden": 32},
        **{"training.steps": 70, "training.batch": 2, "training.length": 48, "training.every": 25},
        **{"training.objective": "mixture", "training.shares": {"copying": 1.0, "next_token": 2.0}},
    }
    kind = LmTrainingKind()
    config = kind.configure(values=sets)
    whole = start(kind, config, RunOptions(out=tmp_path / "whole", quiet=True))
    train = lm.train_bytes

    def killed(text: bytes, shape: Any, schedule: Any, heard: Callable[[Any], None], **rest: Any) -> Any:
        def kill(progress: TrainingProgress) -> None:
            heard(progress)
            if progress.step == 60:
                raise KeyboardInterrupt

        return train(text, shape, schedule, kill, **rest)

    path = tmp_path / "part"
    with monkeypatch.context() as patched:
        patched.setattr(lm, "train_bytes", killed)
        with pytest.raises(NeurosimInterruptedError, match=r"neurosim convert lm-train --resume .*part"):
            start(kind, config, RunOptions(out=path, quiet=True))
    resumed = resume(kind, path, RunOptions(quiet=True))
    assert (resumed.validation_loss, resumed.history) == (whole.validation_loss, whole.history)
    models = (read_model(tmp_path / name / lm.MODEL) for name in ("whole", "part"))
    assert all(torch.equal(a, b) for a, b in zip(*(model.parameters() for model in models), strict=True))
    assert not (path / lm.STATE).exists()
    with pytest.raises(NeurosimInputError, match="its run is done, there is nothing to resume"):
        resume(kind, path, RunOptions(quiet=True))
