"""llama.cpp in a process of its own: times of a token, and losses of texts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from harness import HERE, PEERS_PYTHON


class Llama:
    """A llama in llama.cpp.

    Args:
        options: of `peers/run_llama.py`: which model.
        threads: one thread is timed in CPU time, several in wall time.

    Raises:
        FileNotFoundError: there is no .venv-peers.
        RuntimeError: llama.cpp is not installed there, or has ended.
    """

    def __init__(self, options: Sequence[str], threads: int) -> None:
        call = [str(PEERS_PYTHON), str(HERE / "peers" / "run_llama.py"), *options, "--threads", str(threads)]
        self.process = subprocess.Popen(
            call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.clock = "cpu_ms" if threads == 1 else "wall_ms"
        self.about = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        while line and not line.startswith("{"):  # of llama.cpp itself
            line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"llama.cpp ended with {self.process.wait()}")
        return dict(json.loads(line))

    def _ask(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)
        return self._answer()

    def once(self) -> float:
        """Return milliseconds a token."""
        return float(self._ask("")[self.clock])

    def nats(self, windows: list[list[int]]) -> list[list[float]]:
        """Return the nats of the tokens of each window but the first, each window read without context."""
        return list(self._ask(json.dumps(windows))["nats"])

    def close(self) -> None:
        self.process.communicate()


def llamas(models: dict[str, Sequence[str]], threads: int) -> dict[str, Llama | None]:
    """Return each model in llama.cpp by name, None for all where it is not installed."""
    found: dict[str, Llama | None] = {}
    for name, options in models.items():
        try:
            found[name] = Llama(options, threads)
        except (OSError, RuntimeError):
            found[name] = None
    return found
