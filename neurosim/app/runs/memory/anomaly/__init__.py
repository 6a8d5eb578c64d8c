"""Anomalies and predictions of a table of values over time."""
