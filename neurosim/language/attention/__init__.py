"""Linear-attention kinds, each one recurrence; the reference language model of any mix of them; reading checkpoints."""
