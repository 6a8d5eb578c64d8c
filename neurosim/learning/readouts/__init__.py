"""Readouts as populations of a network: trained weights, or weights that learn in place, with orthogonal projection."""
