"""Sparsity, synaptic operations and energy estimates: one table for every paradigm, from the counts it hands over."""

from .work import Layer as Layer

__all__ = ["Layer"]
