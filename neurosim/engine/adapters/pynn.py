"""The PyNN API on this engine: `import neurosim.pynn as sim`. Needs the extra `pynn`.

docs/pynn.md says what is there, and how it differs from other simulators.
"""

from neurosim.base.distribution import install

try:
    import pyNN  # noqa: F401 - only to say what is missing
except ImportError as error:
    needed = f"neurosim.pynn: needs PyNN ({error}); run: {install('pynn')}"
    raise ModuleNotFoundError(needed, name=error.name) from None

from neurosim.engine.pynn.api import *  # noqa: F403
