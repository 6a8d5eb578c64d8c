"""Readers and writers of all files: recordings, spikes, saved state, JSON and TOML, archives; all writes are atomic."""
