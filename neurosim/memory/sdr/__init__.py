"""Sparse distributed representations (SDRs), encoders into them, and their exact probabilities."""
