# Two commands on a fresh machine: `make run` and `make test`. Each makes its own .venv; only python3 and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= auto
SEEDS ?= 200
MINUTES ?= 30

.DEFAULT_GOAL := help
.PHONY: help run test soak agreement mutants lint docs bench coverage clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'faultline needs Python 3.11 or later: make PYTHON=python3.12 ...'; exit 1; }
	@echo 'installing what faultline and its tests need into $(VENV); a minute or two, once'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[targets,test,lint]'
	@touch $@

run: $(STAMP)  ## run every shipped scenario in the simulated world
	$(BIN)/faultline run scenarios/ $(ARGS)

test: $(STAMP)  ## lint, types and the whole test suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

soak: $(STAMP)  ## the resilience scenarios under SEEDS=200 seeds, as far as MINUTES=30 allow
	@end=$$(($$(date +%s) + 60 * $(MINUTES))); seed=0; \
	while [ $$seed -lt $(SEEDS) ] && [ $$(date +%s) -lt $$end ]; do \
		$(BIN)/faultline run scenarios/resilience --quiet --no-store --seed $$seed --seeds 10 $(ARGS) || exit $$?; \
		$(BIN)/python -m pytest tests/resilience -q -n $(JOBS) --faultline-seed=$$seed --faultline-seeds=10 || exit $$?; \
		seed=$$((seed + 10)); \
	done; echo "soak: $$seed of $(SEEDS) seeds, all as expected: every scenario of scenarios/resilience, every test of tests/resilience"

agreement: $(STAMP)  ## the shipped scenarios over real sockets: do they say what the simulation says? (three minutes)
	FAULTLINE_AGREEMENT=1 $(BIN)/python -m pytest tests/agreement $(ARGS)

mutants: $(STAMP)  ## break the reference client in every way of the table: which oracle notices? (a minute)
	$(BIN)/faultline mutants --seeds 3 $(ARGS)

lint: $(STAMP)  ## lint and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)  ## build the documentation into build/docs, without warnings
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs

bench: $(STAMP)  ## print the figures that docs/performance.md speaks of
	$(BIN)/python -m benchmarks $(ARGS)

coverage: $(STAMP)  ## how much of each component of the resilience layer its tests run, and whether that is enough
	@mkdir -p build
	$(BIN)/python -m coverage run --data-file=build/coverage --branch --source=targets/resilience -m pytest -q -n 0 tests/targets/resilience $(ARGS)
	$(BIN)/python -m benchmarks.coverage_by_component

clean:  ## remove what these commands made
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis .faultline
