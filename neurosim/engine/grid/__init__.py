"""The state of a run on the grid, and what drives it: workspace, runner, spike sources, probes, sinks and streams."""
