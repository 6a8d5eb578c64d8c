"""A network made ready for the grid: layout, synapses as row tables, plastic synapses, compiled neurons."""
