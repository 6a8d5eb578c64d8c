#!/bin/sh
# Builds the source distribution and the wheel, and tries them in empty environments.
#     sh recipes/build.sh REPOSITORY PYTHON...        e.g. https://example.org/neurosim python3.10 python3.13
# Each extra is installed by itself, and one thing that needs it is done (try_extra.py). What fails is listed at the end.
# EXTRAS="plot nir" tries fewer; INSTALLER="uv pip install" installs with uv, which is quicker than pip.
set -eu
cd "$(dirname "$0")/.."
here="$PWD"
NEUROSIM_REPOSITORY="$1"
export NEUROSIM_REPOSITORY
shift
ALL="train gpu tonic nir hdf5 aedat4 ros camera plot neurobench tables edges pynn equations serve text hub docs"
EXTRAS="${EXTRAS-$ALL tensorboard images cluster mpi test all}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet build twine
rm -rf dist
"$work/tools/bin/python" -m build --outdir dist . >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/tools/bin/twine" check --strict dist/*

install() { # PYTHON DISTRIBUTION
  rm -rf "$work/env" "$work/run"
  "$1" -m venv "$work/env"
  mkdir "$work/run"
  if [ -n "${INSTALLER:-}" ]; then
    $INSTALLER --quiet --python "$work/env/bin/python" "$2"
  else
    "$work/env/bin/pip" install --quiet "$2"
  fi
}

try() { # PYTHON DISTRIBUTION EXTRA; the distribution with that extra, or alone
  install "$1" "$2${3:+[$3]}"
  cd "$work/run"
  if [ -n "$3" ]; then
    "$work/env/bin/python" "$here/recipes/try_extra.py" "$3"
  else
    "$work/env/bin/neurosim" demo --quiet --out demo
    test -s demo/report.html
  fi
}

failed=""
wheel="$(echo "$here"/dist/*.whl)"
say() { # PYTHON WORDS; the end of an attempt
  if [ "$3" = 0 ]; then
    # The demo has the same digest with every Python.
    echo "$1, $2: works$(sed -n 's/^ *Spike digest */, spikes /p' "$work/log")"
  else
    tail -n 3 "$work/log"
    echo "$1, $2: FAILED"
    failed="$failed $1:$2"
  fi
}
for python in "$@"; do
  for file in "$here"/dist/*.whl "$here"/dist/*.tar.gz; do
    (try "$python" "$file" "") >"$work/log" 2>&1 && code=0 || code=$?
    say "$python" "$(basename "$file")" "$code"
  done
  for extra in $EXTRAS; do
    (try "$python" "$wheel" "$extra") >"$work/log" 2>&1 && code=0 || code=$?
    say "$python" "$extra" "$code"
  done
done
sha256sum dist/*
test -z "$failed" || { echo "failed:$failed"; exit 1; }
