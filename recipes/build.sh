#!/bin/sh
# Builds the source distribution and the wheel, and tries them in empty environments.
#     sh recipes/build.sh REPOSITORY PYTHON...        e.g. https://example.org/neurosim python3.10 python3.13
# EXTRAS="plot nir" tries fewer extras than all that need no compiler and no card.
set -eu
cd "$(dirname "$0")/.."
NEUROSIM_REPOSITORY="$1"
export NEUROSIM_REPOSITORY
shift
EXTRAS="${EXTRAS-train tonic nir hdf5 aedat4 ros plot tables edges equations serve text hub tensorboard images}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet build twine
rm -rf dist
"$work/tools/bin/python" -m build --outdir dist .
"$work/tools/bin/twine" check --strict dist/*

try() { # PYTHON DISTRIBUTION EXTRA
  place="$work/env"
  rm -rf "$place" "$work/run"
  "$1" -m venv "$place"
  "$place/bin/pip" install --quiet "$2${3:+[$3]}"
  (cd "$work" && "$place/bin/python" - "${3:-}" <<'END'
import sys

from neurosim import LIF, Network, PoissonInput, Population, simulate

network = Network([Population("cells", 100, LIF())], [], [PoissonInput("cells", 900.0, 0.06)])
spikes = simulate(network, 0.2, seed=1).spikes["cells"]
assert len(spikes) > 0
print(f"Python {sys.version.split()[0]}, extra {sys.argv[1] or 'none'}: {len(spikes)} spikes, {spikes.digest()[:12]}")
END
  )
}

for python in "$@"; do
  for file in dist/*.whl dist/*.tar.gz; do
    try "$python" "$PWD/$file" ""
    (cd "$work" && "$work/env/bin/neurosim" demo --quiet --out run && test -s run/report.html)
  done
  for extra in $EXTRAS; do
    try "$python" "$(echo "$PWD"/dist/*.whl)" "$extra"
  done
done
sha256sum dist/*
