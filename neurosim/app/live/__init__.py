"""Answers of a trained run while events come in: sources, models, the loop and its page."""
