"""Active dendrites: segments that recognise sparse patterns, a layer for continual learning, and the two algorithms of
hierarchical temporal memory, spatial pooler and temporal memory."""
