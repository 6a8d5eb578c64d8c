"""Bounds of a server: nothing that a client sends or leaves open grows without end."""

from __future__ import annotations

from dataclasses import dataclass

from ...base.errors import check_fields
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

    batch: int = MAX_TOKENS
    queue: int = 64
    context: int = 4096
    body: int = 1 << 20
    seconds: float = 300.0
    stops: int = 4
    stop_size: int = 256
    prefix_bytes: int = 1 << 28

    def __post_init__(self) -> None:
        check_fields(
            self,
            {
                "batch": f">= 1 and <= {MAX_TOKENS}",
                "context": ">= 2",
                "body stops stop_size": ">= 1",
                "queue prefix_bytes": ">= 0",
                "seconds": "> 0 s",
            },
        )
