#!/bin/sh
# Builds .venv-pynn: neurosim with its extra `pynn`, and the sources of PyNN, whose system tests run on it.
# Usage: sh benchmarks/peers/install_pynn.sh [PYTHON]; then .venv-pynn/bin/python benchmarks/peers/run_pynn_tests.py
set -eu
version=0.13.0
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=$here/../..
venv=$top/.venv-pynn
python=${1:-$(command -v python3.11 || command -v python3)}

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --editable "$top" "PyNN==$version" pytest matplotlib
# The tests of PyNN are in its source distribution alone.
if [ ! -d "$venv/src/pynn-$version" ]; then
    mkdir -p "$venv/src"
    "$venv/bin/python" -m pip download --quiet --no-deps --no-binary :all: --dest "$venv/src" "PyNN==$version"
    tar -xzf "$venv/src/pynn-$version.tar.gz" -C "$venv/src"
fi
