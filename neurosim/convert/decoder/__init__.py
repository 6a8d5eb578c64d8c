"""The compiled step of a language model: `Decoder`."""

from .decoder import Decoder as Decoder
from .program import NotCompiledError as NotCompiledError
