"""What a config, a model or a recording tells is refused before a run folder is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command import refused

from neurosim.language import LanguageConfig, LanguageModel, MixerSpec, write_model

TEXT = ("--calibrate", "text")
ALL = ("--set", "validation.fraction=0.0")
FEW = ("--set", "data.train_limit=20", "--set", "data.limit=10")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("memory", "sequence", "digits", *FEW, "--set", "stream.window=5.0"), "stream.window: must cut recordings"),
        (("memory", "episodes", "digits", *FEW, "--set", "episodes.ways=11"), "episodes.ways: needs 11 classes"),
        (("train", "digits", *FEW, "--set", "validation.by=speaker"), "validation.by: the recordings do not say"),
        (("train", "digits", *FEW, "--set", "validation.held_out_speaker=1"), "validation.held_out_speaker: the rec"),
        (("train", "digits", *FEW, "--set", "validation.fraction=0.01"), "validation.fraction: 0.01 of each class"),
        (("train", "digits", *FEW, *ALL, "--set", "attention.kind=glaa"), "attention kind: unknown name 'glaa'"),
        (("convert", "lm", *TEXT, "--weights", "int8", "--k", "9e5"), "Coding.k: must be <"),
        (("convert", "lm", *TEXT, "--qk"), "layers.0.mixer: a DiagonalSSM has no q and k to code"),
        (("convert", "curve", "lm", *TEXT, "--set", "curve.ks=[9e5]", "--set", "coding.weights=int8"), "Coding.k: "),
        (("convert", "linearise", "lm", "--text", "text"), "layers.0: must be softmax attention to be replaced"),
        (
            ("continual", "run", "digits", "--learner", "projected", "--set", "learners.projected.neurons=1"),
            "ProjectedSettings.neurons: must give each of 5 tasks a feature",
        ),
    ],
)
def test_before_a_folder(words: tuple[str, ...], line: str, elsewhere: None) -> None:
    if words[0] == "convert":
        layer = MixerSpec("ssm", {})
        write_model(Path("lm"), LanguageModel(LanguageConfig((layer,), width=16, hidden=32), 0))
        Path("text").write_text("a text of many words " * 300)
    assert refused(*words).startswith(f"neurosim: {line}")
    assert not Path("runs").exists()
