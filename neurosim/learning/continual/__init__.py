"""Continual learning: streams of tasks, learners through one interface, the whole accuracy matrix and its measures."""
