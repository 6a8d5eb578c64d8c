"""Bridges to other packages; each module imports its package only when used."""
