"""Faults that a decoder of events reports, with the place where it stopped.

A decoder returns `(events, fault, at)`: `fault` is `SOUND` for a valid file, and `at` is the index of the record, word
or byte that broke the rule. It checks while it decodes and allocates no memory.
"""

SOUND = 0
OUTSIDE = 1  # beyond the sensor
BACKWARDS = 2  # earlier than the event before
CUT = 3  # the file ends within a record
SIZES = 4  # sizes in a head contradict each other
