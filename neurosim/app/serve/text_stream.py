"""Text of tokens as they come: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from ...language.attention.tokenizer import Tokenizer

BROKEN = "\N{REPLACEMENT CHARACTER}"  # what stands for bytes that are no character, or none yet
CONTEXT = 6  # tokens before a text that are decoded with it: the first word of a text alone may lose its space
MAX_WAIT = 8  # tokens after which bytes that complete no character are written all the same


class TextStream:
    """The text behind a prompt, token by token.

    The parts of all calls, one behind the other, are the text; it ends before the first stop string.

    Args:
        prompt: tokens before the text.
        stops: strings that end it.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], stops: Sequence[str] = ()) -> None:
        self.tokenizer = tokenizer
        self.stops = tuple(stops)
        self.stopped = False
        self._ids = list(prompt[-CONTEXT:])
        # Tokens from `_begin` on are decoded together; those before `_end` are written already.
        self._begin = 0
        self._end = len(self._ids)
        self._held = ""

    def add(self, token: int) -> str:
        """Return what a token adds to the text, which may be nothing yet; sets `stopped` at a stop string."""
        self._ids.append(token)
        text = self._decode(self._begin, len(self._ids))
        waits = text.endswith(BROKEN) and len(self._ids) - self._end <= MAX_WAIT
        if waits:
            return ""
        return self._release(self._take(text))

    def end(self) -> str:
        """Return what was held back, once no token follows."""
        if self.stopped:
            return ""
        rest = self._release(self._take(self._decode(self._begin, len(self._ids))))
        held = "" if self.stopped else self._held
        self._held = ""
        return rest + held

    def _decode(self, begin: int, end: int) -> str:
        return self.tokenizer.decode(self._ids[begin:end]).decode("utf-8", errors="replace")

    def _take(self, text: str) -> str:
        """Return the part of a decoded text that is not written yet, and count it as written."""
        before = self._decode(self._begin, self._end)
        new = text[len(before) :]
        self._begin = self._end
        self._end = len(self._ids)
        return new

    def _release(self, new: str) -> str:
        """Return what can be written of the text held back and a new part: all that begins no stop string."""
        text = self._held + new
        places = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        if places:
            self.stopped = True
            self._held = ""
            return text[: min(places)]
        keep = max((_overlap(text, stop) for stop in self.stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of a text that begins a stop string."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
