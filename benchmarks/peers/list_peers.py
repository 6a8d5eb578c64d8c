"""Print which peers this environment holds, one a line, and fail where one that must be there is not."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

NEEDED = ("brian2", "nest-simulator")
FURTHER = ("snntorch", "norse", "spikingjelly", "xllamacpp", "gguf", "reservoirpy")


def main() -> int:
    missing = 0
    for name in (*NEEDED, *FURTHER):
        try:
            print(f"{name} {version(name)}")
        except PackageNotFoundError:
            print(f"{name} not installed")
            missing += name in NEEDED
    return missing


if __name__ == "__main__":
    sys.exit(main())
