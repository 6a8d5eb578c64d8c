"""Continual learning: streams of tasks, learners through one interface, the whole accuracy matrix and its measures."""

from .evaluation import evaluate as evaluate
from .learner import Learner as Learner
from .matrix import measures as measures
from .streams import Stream as Stream
from .streams import StreamRecipe as StreamRecipe
from .tasks import Items as Items
from .tasks import Problem as Problem
from .tasks import Task as Task
