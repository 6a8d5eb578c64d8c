"""Plots on matplotlib axes, one line each (extra `plot`): every function draws into `ax`, or the current axes, and
returns it."""

from .arrays import accuracy as accuracy
from .arrays import codes as codes
from .arrays import connectivity as connectivity
from .arrays import traces as traces
from .arrays import weights as weights
from .events import animate as animate
from .events import frame as frame
from .events import raster as raster
from .events import rates as rates
