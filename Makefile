# `make demo` and `make test` build .venv when it is absent. `make test-slow` runs the tests that `make test` leaves out.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One install a set of extras; a stamp is newer than pyproject.toml when the environment fits it.
STAMPS := $(VENV)/stamps
# Processes that test side by side, each with whole files of tests, and one thread of linear algebra. Files come in the
# order of tests/conftest.py; by the number of their tests, the longest one would run alone at the end.
WORKERS ?= 2
# Where images of machines forbid it, Python compiles the package and its tests again in every process: 9 s in each.
unexport PYTHONDONTWRITEBYTECODE
COVERAGE ?= --cov --cov-report=html:build/coverage
SHARE = @echo "these tests run $$($(BIN)/python -m coverage report --format=total) % of the lines, kernels left out: build/coverage/index.html"
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-slow coverage pairs lint docs audit peers peers-engine peers-pynn models clean

demo: $(STAMPS)/core
	$(BIN)/neurosim demo
	@echo "To have neurosim as a command of this shell: . $(BIN)/activate"

test: $(STAMPS)/test
	$(PYTEST) -m "not slow"

# Counts the lines that run, which takes 40 % longer; `make test-slow COVERAGE=` does not.
test-slow: $(STAMPS)/test
	$(PYTEST) -m slow $(COVERAGE)
	$(if $(COVERAGE),$(SHARE))

# The share of the lines that all tests run.
coverage: $(STAMPS)/test
	$(PYTEST) $(COVERAGE)
	$(SHARE)

# Tables of the pairs of features that tests tried together; an empty cell without a reason fails.
pairs: $(STAMPS)/test
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m guard

lint: $(STAMPS)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Pages, their programs' output and the reference as build/site; a program that fails or a link that leads nowhere fails.
docs: $(STAMPS)/docs
	NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 $(BIN)/python -m mkdocs build --strict --quiet

# Known vulnerabilities of the versions in requirements.lock, asked from the package index.
audit:
	test -x build/audit/bin/pip-audit || ($(PYTHON) -m venv build/audit && build/audit/bin/python -m pip install --quiet pip-audit)
	build/audit/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip

# The other simulators, in an environment of their own: only benchmarks and the `peer` tests use it.
peers:
	sh benchmarks/peers/install.sh

# Of these, NEST and Brian2 alone.
peers-engine:
	sh benchmarks/peers/install.sh --engine

# PyNN's own system tests, on neurosim.pynn, in an environment of their own.
peers-pynn:
	sh benchmarks/peers/install_pynn.sh
	OMP_NUM_THREADS=1 .venv-pynn/bin/python benchmarks/peers/run_pynn_tests.py

# A language model of others, 93 MB, in an environment of its own: only benchmarks and the `models` tests use it.
models:
	sh benchmarks/models/install.sh

$(STAMPS)/core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/test: $(STAMPS)/core
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(STAMPS)/docs: $(STAMPS)/core
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) .venv-peers .venv-pynn .venv-models build dist runs
