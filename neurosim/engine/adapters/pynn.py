"""The PyNN API on this engine: `import neurosim.pynn as sim`. Needs the extra `pynn`.

docs/pynn.md says what is there, and how it differs from other simulators.
"""

from neurosim.base.distribution import install

try:
    import pyNN  # noqa: F401 - only to say what is missing
except ImportError as error:
    raise ImportError(f"neurosim.pynn: needs PyNN ({error}); run: {install('pynn')}") from None

from neurosim.engine.pynn.api import *  # noqa: F403
