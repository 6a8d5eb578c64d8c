"""The PyNN API on this engine, imported as `neurosim.pynn`. Needs the extra `pynn`; no other module imports PyNN."""
