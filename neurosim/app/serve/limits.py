"""Bounds of a server: nothing that a client sends or leaves open grows without end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ...base.rules import Count, Natural, Rule, check_rules
from ...language.conversion.decoder.decoder import MAX_TOKENS


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Attributes:
        batch: sequences that are stepped side by side, at most 16.
        queue: requests that wait for a place in the batch; more are refused.
        context: tokens of a prompt and what is written behind it.
        body: bytes of a request.
        seconds: time from the arrival of a request to its last token, waiting included.
        stops: stop strings of a request.
        stop_size: characters of a stop string.
        prefix_bytes: memory for snapshots of prompts that were read; 0 keeps none.

    Raises:
        NeurosimInputError: a value breaks its rule.
    """

    batch: Annotated[int, Rule(f">= 1 and <= {MAX_TOKENS}")] = MAX_TOKENS
    queue: Natural = 64
    context: Annotated[int, Rule(">= 2")] = 4096
    body: Count = 1 << 20
    seconds: Annotated[float, Rule("> 0 s")] = 300.0
    stops: Count = 4
    stop_size: Count = 256
    prefix_bytes: Natural = 1 << 28

    def __post_init__(self) -> None:
        check_rules(self)
