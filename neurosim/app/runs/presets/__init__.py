"""Published experiments with their own settings: NAME.toml is the config of a kind of run, index.toml what is known."""
