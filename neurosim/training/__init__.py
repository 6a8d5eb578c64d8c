"""Training of spiking networks on recordings, and their way into the event-driven engine; needs torch.

binning = Binning(train.shape, dt=0.01, pool=2)          # recordings to tensors
net = SpikingNet(binning.shape, len(train.classes), NetworkSpec(hidden=(128,)), binning.dt)
Trainer(net, binning, train, validation).run()
network = to_network(net)                                # the same spikes, event by event
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports
from .augment import Augment as Augment
from .binning import Binning as Binning
from .binning import EventBatch as EventBatch
from .records import EpochProgress as EpochProgress
from .records import EpochRecord as EpochRecord
from .records import TrainingState as TrainingState
from .specs import AttentionSpec as AttentionSpec
from .specs import ELMSpec as ELMSpec
from .specs import NetworkSpec as NetworkSpec
from .specs import TrainingSpec as TrainingSpec
from .validation import check_labels as check_labels
from .validation import split as split
from .validation import split_apart as split_apart

if TYPE_CHECKING:
    from .attention_net import AttentionNet as AttentionNet
    from .elm_net import ELMNet as ELMNet
    from .export import EventNet as EventNet
    from .export import has_exact_sums as has_exact_sums
    from .export import to_network as to_network
    from .net import LayerActivity as LayerActivity
    from .net import SpikingNet as SpikingNet
    from .parallel import Team as Team
    from .parallel import team as team
    from .saved import load as load
    from .saved import save as save
    from .trainer import Trainer as Trainer
    from .trainer import loss_and_accuracy as loss_and_accuracy
    from .trainer import scores as scores

# Loaded on first use: these need torch, and the settings of a run can be read without it.
__getattr__, __all__ = lazy_exports(__name__)
