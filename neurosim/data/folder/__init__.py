"""A folder of one's own recordings as a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .folder import Folder as Folder
    from .folder import open_folder as open_folder
    from .options import FolderOptions as FolderOptions

# Loaded on first use: readers need numba, the list of datasets does not.
__getattr__, __all__ = lazy_exports(__name__)
