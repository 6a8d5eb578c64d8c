"""The PyNN API on this engine: `import neurosim.pynn as sim`. Needs the extra `pynn`.

docs/pynn.md says what is there, and how it differs from other simulators.
"""

from neurosim.engine.pynn.api import *  # noqa: F403
