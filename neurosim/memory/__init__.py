"""Memories of sparse distributed representations: encoders, dendrites, macrocolumns, associative memories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.lazy import lazy_exports

if TYPE_CHECKING:
    from .associative.dense import DenseHebbian as DenseHebbian
    from .associative.hopfield import Hopfield as Hopfield
    from .associative.pairs import FastWeights as FastWeights
    from .associative.pairs import PairMemory as PairMemory
    from .dendrites.elm import ELMUnits as ELMUnits
    from .dendrites.layer import DendriteLayer as DendriteLayer
    from .dendrites.layer import Prototypes as Prototypes
    from .dendrites.pooler import SpatialPooler as SpatialPooler
    from .dendrites.predictive import DendriticSegments as DendriticSegments
    from .dendrites.temporal import TemporalMemory as TemporalMemory
    from .dendrites.torch_layer import DendriteNetwork as DendriteNetwork
    from .dendrites.torch_layer import TrainableDendriteLayer as TrainableDendriteLayer
    from .macrocolumn.column import Macrocolumn as Macrocolumn
    from .macrocolumn.encoders import on_off_pixels as on_off_pixels
    from .macrocolumn.fields import patches as patches
    from .macrocolumn.fields import scattered as scattered
    from .macrocolumn.hierarchy import Hierarchy as Hierarchy
    from .macrocolumn.level import Level as Level
    from .macrocolumn.recognition import Recogniser as Recogniser
    from .macrocolumn.recognition import build_recogniser as build_recogniser
    from .macrocolumn.selection import Permanence as Permanence
    from .macrocolumn.selection import Selection as Selection
    from .sdr.code import SDR as SDR
    from .sdr.code import bank as bank
    from .sdr.code import overlaps as overlaps
    from .sdr.encoders import CategoryEncoder as CategoryEncoder
    from .sdr.encoders import Encoder as Encoder
    from .sdr.encoders import EventWindowEncoder as EventWindowEncoder
    from .sdr.encoders import RandomDistributedScalarEncoder as RandomDistributedScalarEncoder
    from .sdr.encoders import ScalarEncoder as ScalarEncoder
    from .sdr.expansion import ExpansionEncoder as ExpansionEncoder
    from .sdr.patch_code import PatchCode as PatchCode
    from .sdr.probability import false_negative as false_negative
    from .sdr.probability import false_positive as false_positive
    from .sdr.probability import union_false_positive as union_false_positive

# Loaded on first use.
__getattr__, __all__ = lazy_exports(__name__)
