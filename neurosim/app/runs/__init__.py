"""Runs: a checked config in; a folder with manifest, config, metrics, spikes and a report page out.

    from neurosim import app
    from neurosim.app.runs.liquid import KIND

    config = KIND.configure(values={"data.name": "digits"})
    result = app.start(KIND, config, app.RunOptions(threads=2))

`frame/kind.py` says what a kind of run is, and `frame/registry.py` lists them.
"""
