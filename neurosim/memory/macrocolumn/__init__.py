"""Sparsey-style macrocolumns: single-trial, fixed-time sparse memories of items and sequences."""
