"""A small continual run in TOML."""

SMALL = """
[stream]
kind = "permuted"
tasks = 3
train_limit = 60
validation_limit = 20
test_limit = 40

[common]
hidden = [30]
epochs = 2
steps = 3

[learners.plain]
[learners.replay]
memory = 30
[learners.macrocolumn]
columns = 12
field = 16
units = 64
"""
