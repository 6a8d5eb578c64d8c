"""Connectors of PyNN that need a change here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from pyNN import connectors


class OneToOneConnector(connectors.OneToOneConnector):
    __doc__ = connectors.OneToOneConnector.__doc__

    def _standard_connect(
        self, projection: Any, connection_map_generator: Callable[..., Iterator[Any]], distance_map: Any = None
    ) -> None:
        def columns(*mask: Any) -> Iterator[Any]:
            # The column of a single source is a number, whose nonzero() NumPy refuses since 2.1.
            yield from map(np.atleast_1d, connection_map_generator(*mask))

        super()._standard_connect(projection, columns, distance_map)
