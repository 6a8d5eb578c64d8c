"""Runs: a checked config in; a folder with manifest, config, metrics, spikes and a report page out.

    from neurosim import runs
    from neurosim.app.runs.liquid import KIND

    config = KIND.configure(given={"data.name": "digits"})
    result = runs.start(KIND, config, runs.RunOptions(threads=2))

`kind.py` says what a kind of run is, and `kinds.py` lists them.
"""
