"""The engine in continuous time: no grid, every spike at its own moment."""
