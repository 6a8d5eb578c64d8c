"""Names of before, for commands that are not ported yet."""

from collections.abc import Callable
from typing import Any

from ..runs.command import CommandOptions as Options
from ..runs.command import CommandResult as Answer
from ..runs.command import at_least, common, complete_dataset, to_json
from ..runs.tables import table

__all__ = ["Answer", "Options", "common", "complete_dataset", "table", "to_json", "whole"]


def whole(rule: str, least: int) -> Callable[..., Any]:
    """As `at_least`, its arguments turned round."""
    return at_least(least, rule)
