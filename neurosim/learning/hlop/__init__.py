"""Hebbian orthogonal projection: spiking networks that learn task after task in directions not used before."""
