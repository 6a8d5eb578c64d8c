"""Text for a terminal."""

from __future__ import annotations

import unicodedata

# Characters that change the direction of the text around them.
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """Return a text that a terminal shows and does not obey: control characters are written as escapes."""

    def shown(character: str) -> str:
        # Control characters, halves of surrogate pairs, separators of lines and of paragraphs.
        obeyed = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in DIRECTIONS
        if obeyed and character not in "\n\t":
            return character.encode("unicode_escape").decode()
        return character

    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(map(shown, text))
