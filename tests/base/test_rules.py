import math
import re
from dataclasses import dataclass
from typing import Annotated

import pytest

from neurosim.base import NeurosimInputError
from neurosim.base.rules import Count, NotEmpty, Rule, check_rules


@dataclass
class Settings:
    epochs: Count = 1
    tau_mem: Annotated[float, Rule("> 0 s")] = 0.02
    dropout: Annotated[float, Rule(">= 0 and < 1")] = 0.0
    rows: Annotated[int, Rule("> 0"), Rule("<= 8")] = 8
    active: Annotated[int, Rule("> 0 bits")] | None = None
    sizes: Annotated[tuple[int, ...], NotEmpty()] = (1,)
    name: str = ""

    def __post_init__(self) -> None:
        check_rules(self)


@dataclass
class MoreSettings(Settings):
    epochs: Annotated[int, Rule(">= 2")] = 2
    tau_mem: float = 0.1
    active: int | None = 3
    width: Count = 4


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"epochs": 0}, "epochs: must be >= 1 (got 0)"),
        ({"epochs": True}, "epochs: must be >= 1 (got True)"),
        ({"epochs": "many"}, "epochs: must be >= 1 (got many)"),
        ({"epochs": None}, "epochs: must be >= 1 (got None)"),
        ({"tau_mem": 0.0}, "tau_mem: must be > 0 s (got 0.0)"),
        ({"tau_mem": math.inf}, "tau_mem: must be > 0 s (got inf)"),
        ({"dropout": 1.0}, "dropout: must be >= 0 and < 1 (got 1.0)"),
        ({"dropout": -0.1}, "dropout: must be >= 0 and < 1 (got -0.1)"),
        ({"dropout": math.nan}, "dropout: must be >= 0 and < 1 (got nan)"),
        ({"rows": 0}, "rows: must be > 0 (got 0)"),
        ({"rows": 9}, "rows: must be <= 8 (got 9)"),
        ({"active": 0}, "active: must be > 0 bits (got 0)"),
        ({"sizes": ()}, "sizes: must hold at least one value (got ())"),
    ],
)
def test_fields_are_held_to_the_rules_of_their_annotations(settings: dict[str, object], text: str) -> None:
    with pytest.raises(NeurosimInputError, match=f"^Settings.{re.escape(text)}$"):
        Settings(**settings)  # type: ignore[arg-type]


def test_settings_at_the_bounds_of_their_rules_are_good() -> None:
    Settings(epochs=1, tau_mem=1e-300, dropout=0.0, rows=1, active=1)


def test_a_derived_class_has_the_rules_of_its_base_and_its_own() -> None:
    MoreSettings()
    for settings, text in (
        ({"epochs": 1}, "MoreSettings.epochs: must be >= 2 (got 1)"),
        ({"tau_mem": 0.0}, "MoreSettings.tau_mem: must be > 0 s (got 0.0)"),
        ({"active": 0}, "MoreSettings.active: must be > 0 bits (got 0)"),
        ({"width": 0}, "MoreSettings.width: must be >= 1 (got 0)"),
    ):
        with pytest.raises(NeurosimInputError, match=f"^{re.escape(text)}$"):
            MoreSettings(**settings)  # type: ignore[arg-type]
