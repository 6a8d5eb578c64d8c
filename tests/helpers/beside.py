"""Calls beside a run that are made in this process, with copies of their arguments."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial


class CalledHere:
    """In the place of `called_beside`: the arguments are sent as to another process, and the call is made here.

    Attributes:
        calls: number of calls that were asked for.
    """

    calls = 0

    @contextmanager
    def __call__(self, function: Callable[..., object], *arguments: object) -> Iterator[Callable[[], object]]:
        copies = pickle.loads(pickle.dumps(arguments))
        self.calls += 1
        yield partial(function, *copies)
