"""Runs of a single-trial memory on a dataset: store, recall, capacity, noise, familiarity."""

from .config import MemoryConfig as MemoryConfig
from .config import configure as configure
from .learned import LEARNED as LEARNED
from .learned import MEMORY as MEMORY
from .learned import Learned as Learned
from .run import PICTURES as PICTURES
from .run import Job as Job
from .run import capacity as capacity
from .run import familiarity as familiarity
from .run import noise as noise
from .run import recall as recall
from .run import source_config as source_config
from .run import store as store
