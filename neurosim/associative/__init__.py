"""Associative memories: Hopfield, dense (order P) Hebbian, multitasking, and linear attention as a Hebbian memory.

A pattern is [N] of -1 and 1 (multitasking: 0 too, where the pattern says nothing about a unit).
"""

from ..errors import CapacityWarning as CapacityWarning
from .common import Recall as Recall
from .dense import DenseHebbian as DenseHebbian
from .dense import dense_bit_error as dense_bit_error
from .dense import dense_capacity as dense_capacity
from .hopfield import Hopfield as Hopfield
from .hopfield import hopfield_capacity as hopfield_capacity
from .hopfield import hopfield_overlap as hopfield_overlap
from .hopfield import max_hierarchical_dilution as max_hierarchical_dilution
from .hopfield import multitasking_overlaps as multitasking_overlaps
from .hopfield import parallel_overlap as parallel_overlap
from .pairs import FastWeights as FastWeights
from .pairs import PairMemory as PairMemory
from .pairs import expected_error as expected_error
from .pairs import keys as keys
from .tail import OPTIMIZERS as OPTIMIZERS
from .tail import TailRun as TailRun
from .tail import newton_schulz as newton_schulz
from .tail import polar as polar
from .tail import tail_class as tail_class
from .tail import tail_expected as tail_expected
from .tail import tail_run as tail_run
