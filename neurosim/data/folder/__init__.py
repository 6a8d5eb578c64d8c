"""A folder of one's own recordings as a dataset."""
