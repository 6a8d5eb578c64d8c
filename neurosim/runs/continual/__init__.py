"""Runs of continual learning: learners on a stream of tasks over seeds and a grid, and their comparison."""

from .cell import RESULT as RESULT
from .cell import STATE as STATE
from .compare import compare as compare
from .config import ContinualConfig as ContinualConfig
from .config import Row as Row
from .config import configure as configure
from .config import rows as rows
from .pool import Where as Where
from .run import Plan as Plan
from .run import resume as resume
from .run import run as run
