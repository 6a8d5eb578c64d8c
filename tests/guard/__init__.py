"""The guard where features cross: random cases held to plain references, and tables of the pairs that met."""
