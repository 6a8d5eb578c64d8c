"""Training of spiking networks on recordings, and their way into the event-driven engine; needs torch.

binning = Binning(train.shape, dt=0.01, pool=2)          # recordings to tensors
net = SpikingNet(binning.shape, len(train.classes), Design(hidden=(128,)), binning.dt)
Trainer(net, binning, train, validation).run()
network = to_network(net)                                # the same spikes, event by event
"""

from __future__ import annotations

from ..errors import NeurosimMissingError

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise NeurosimMissingError(
        f"neurosim.training: needs torch ({error}); run: pip install 'neurosim-spiking[train]'"
    ) from None

from .augment import Augment as Augment
from .binning import Batch as Batch
from .binning import Binning as Binning
from .design import Design as Design
from .fit import Course as Course
from .fit import Told as Told
from .fit import Trainer as Trainer
from .fit import judge as judge
from .fit import scores as scores
from .net import SpikingNet as SpikingNet
from .net import Trace as Trace
from .saved import load as load
from .saved import save as save
from .schedule import Schedule as Schedule
from .split import check_labels as check_labels
from .split import split as split
from .team import Team as Team
from .team import team as team

__all__ = [
    "Augment",
    "Batch",
    "Binning",
    "Course",
    "Design",
    "Schedule",
    "SpikingNet",
    "Team",
    "Told",
    "Trace",
    "Trainer",
    "check_labels",
    "judge",
    "load",
    "save",
    "scores",
    "split",
    "team",
]
