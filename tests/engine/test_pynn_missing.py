"""Without PyNN the package works, and the adapter says what to install."""

from __future__ import annotations

import subprocess
import sys

from neurosim.base.distribution import install


def test_the_adapter_names_the_extra() -> None:
    code = "import sys; sys.modules['pyNN'] = None; import neurosim.engine.simulation; import neurosim.pynn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ModuleNotFoundError: neurosim.pynn: needs PyNN (")
    assert last.endswith(f"run: {install('pynn')}")
