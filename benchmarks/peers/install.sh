#!/bin/sh
# Builds .venv-peers: the simulators that the engine is timed and checked against, each run in its own process.
# brian2 and nest-simulator must install; llama.cpp, the torch peers and reservoirpy are reported and left
# out where they do not.
# Usage: sh benchmarks/peers/install.sh [--engine] [PYTHON]
#   --engine: without llama.cpp, the torch peers and reservoirpy.
set -eu
engine=false
if [ "${1:-}" = --engine ]; then
    engine=true
    shift
fi
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
venv=$here/../../.venv-peers
python=${1:-$(command -v python3.11 || command -v python3)}

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --requirement "$here/requirements.txt"

if $engine; then exit; fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Each apart: what does not install leaves the others. The first pins again, so that no further peer can move the numpy
# that brian2 and NEST run on.
for peers in llama torch reservoirs; do
    if ! "$venv/bin/python" -m pip install --quiet --requirement "$here/requirements.txt" \
        --requirement "$here/requirements-$peers.txt" >"$log" 2>&1; then
        echo "$peers peers not installed: $(grep -i -m 1 error "$log" || tail -n 1 "$log")"
    fi
done
"$venv/bin/python" "$here/list_peers.py"
