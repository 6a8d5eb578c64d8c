"""Training of spiking networks on recordings, and their way into the event-driven engine; needs torch.

binning = Binning(train.shape, dt=0.01, pool=2)          # recordings to tensors
net = SpikingNet(binning.shape, len(train.classes), Design(hidden=(128,)), binning.dt)
Trainer(net, binning, train, validation).run()
network = to_network(net)                                # the same spikes, event by event
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_getattr
from .augment import Augment as Augment
from .binning import Batch as Batch
from .binning import Binning as Binning
from .design import Design as Design
from .schedule import Schedule as Schedule
from .split import check_labels as check_labels
from .split import split as split

if TYPE_CHECKING:
    from .export import EventNet as EventNet
    from .export import settled as settled
    from .export import to_network as to_network
    from .fit import Course as Course
    from .fit import Told as Told
    from .fit import Trainer as Trainer
    from .fit import judge as judge
    from .fit import scores as scores
    from .net import SpikingNet as SpikingNet
    from .net import Trace as Trace
    from .parallel import Team as Team
    from .parallel import team as team
    from .saved import load as load
    from .saved import save as save

# Loaded on first use: these need torch, and the settings of a run can be read without it.
_TORCH = {
    "Course": "fit",
    "EventNet": "export",
    "SpikingNet": "net",
    "Team": "parallel",
    "Told": "fit",
    "Trace": "net",
    "Trainer": "fit",
    "judge": "fit",
    "load": "saved",
    "save": "saved",
    "scores": "fit",
    "settled": "export",
    "team": "parallel",
    "to_network": "export",
}
__all__ = [  # noqa: PLE0604 - names and the table's keys
    "Augment",
    "Batch",
    "Binning",
    "Design",
    "Schedule",
    "check_labels",
    "split",
    *_TORCH,
]
__getattr__ = lazy_getattr(__name__, _TORCH)
