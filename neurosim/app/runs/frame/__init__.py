"""The frame of runs: what every kind shares."""
