"""Errors, values, randomness, counts of work: the ground that every room stands on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .distribution import check_distribution
from .lazy import lazy_exports

if TYPE_CHECKING:
    from .errors import CapacityWarning as CapacityWarning
    from .errors import CheckpointWarning as CheckpointWarning
    from .errors import GuessWarning as GuessWarning
    from .errors import NeurosimFormatError as NeurosimFormatError
    from .errors import NeurosimInputError as NeurosimInputError
    from .errors import NeurosimInterruptedError as NeurosimInterruptedError
    from .errors import NeurosimMissingError as NeurosimMissingError
    from .errors import NeurosimWriteError as NeurosimWriteError
    from .errors import UnitWarning as UnitWarning

# Here and not in the package's own __init__.py, which the other distribution may have replaced.
check_distribution(__name__.rpartition(".")[0], os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Loaded on first use.
__getattr__, __all__ = lazy_exports(__name__)
