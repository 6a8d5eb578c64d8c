"""The compiled step of a language model: `Decoder`."""
