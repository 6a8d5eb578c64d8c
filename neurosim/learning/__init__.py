"""Layers trained by gradient, liquids and readouts, orthogonal projection, continual learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.lazy import lazy_exports

if TYPE_CHECKING:
    from .continual.evaluation import evaluate as evaluate
    from .continual.learner import Learner as Learner
    from .continual.recipe import Stream as Stream
    from .continual.recipe import StreamRecipe as StreamRecipe
    from .continual.tasks import Items as Items
    from .continual.tasks import Problem as Problem
    from .continual.tasks import Task as Task
    from .hlop.network import HLOPNetwork as HLOPNetwork
    from .hlop.projected import ProjectedConv2d as ProjectedConv2d
    from .hlop.projected import ProjectedLinear as ProjectedLinear
    from .hlop.subspace import Subspace as Subspace
    from .layers.delayed import DelayedLinear as DelayedLinear
    from .layers.linear import SpikeLinear as SpikeLinear
    from .layers.neurons import CurrentLIFLayer as CurrentLIFLayer
    from .layers.neurons import LeakyIntegrator as LeakyIntegrator
    from .layers.neurons import LIFLayer as LIFLayer
    from .layers.neurons import SEAdLIFLayer as SEAdLIFLayer
    from .layers.parallel import PSN as PSN
    from .layers.snntorch import from_snntorch as from_snntorch
    from .layers.snntorch import to_snntorch as to_snntorch
    from .layers.stack import Stack as Stack
    from .liquid.liquid import Liquid as Liquid
    from .liquid.readout import Readout as Readout
    from .liquid.readout import TrainedReadout as TrainedReadout
    from .liquid.windows import features as features
    from .readouts.lateral import LateralCircuit as LateralCircuit
    from .readouts.linear import LinearReadout as LinearReadout
    from .readouts.online import OnlineReadout as OnlineReadout
    from .readouts.teaching import label_recordings as label_recordings
    from .training.attention_net import AttentionNet as AttentionNet
    from .training.augment import Augment as Augment
    from .training.binning import Binning as Binning
    from .training.export import EventNet as EventNet
    from .training.export import to_network as to_network
    from .training.net import SpikingNet as SpikingNet
    from .training.specs import AttentionSpec as AttentionSpec
    from .training.specs import NetworkSpec as NetworkSpec
    from .training.specs import TrainingSpec as TrainingSpec
    from .training.trainer import Trainer as Trainer
    from .training.validation import split as split

# Loaded on first use.
__getattr__, __all__ = lazy_exports(__name__)
