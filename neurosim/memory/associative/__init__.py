"""Associative memories: Hopfield, dense (order P) Hebbian, multitasking, and linear attention as a Hebbian memory.

A pattern is [N] of -1 and 1 (multitasking: 0 too, where the pattern says nothing about a unit).
"""
