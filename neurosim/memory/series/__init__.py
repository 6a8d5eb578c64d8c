"""Anomalies and predictions of time series: likelihood of anomalies, SDR classifier, and the detector of both."""
