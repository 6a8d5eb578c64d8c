"""Trainable spiking layers: plain torch modules, time first; needs torch (the `train` extra)."""
