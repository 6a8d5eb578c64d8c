"""Text as bytes, for byte-level language models: files, and the prose that ships with Python."""

from __future__ import annotations

import os

from ...base.errors import NeurosimInputError, NeurosimMissingError
from ...base.raw import read_bytes


def python_text() -> bytes:
    """Return the reference prose of the installed Python (`pydoc_data.topics`), about 470 kB without a download.

    Raises:
        NeurosimMissingError: this Python was installed without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise NeurosimMissingError(
            f"the text of Python's own topics: not in this Python ({error}); give a text file instead"
        ) from None
    return "\n\n".join(topics[name] for name in sorted(topics)).encode()


def read_text(path: str | os.PathLike[str]) -> bytes:
    """Read the bytes of a text file.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimInputError: it is empty or cannot be read.
    """
    text = read_bytes(path).tobytes()
    if not text:
        raise NeurosimInputError(f"{path}: must hold text (got 0 bytes); give another file")
    return text
