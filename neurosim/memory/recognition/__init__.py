"""Recognisers of items that are stored once: codes of columns or patches, and readouts that learn their classes."""
