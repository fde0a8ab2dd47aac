# Everything a developer types. Needs Python 3.11 or newer, git and make; the rest goes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
LOCKED := requirements/locked.txt
JOBS   ?= 3
PYTEST := $(BIN)/python -m pytest
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint $(LOCKED)

# The commands of DVC's stages find `dsetkit` and `dvc` on the PATH.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_NO_INPUT := 1
export PIP_BUILD_CONSTRAINT := $(LOCKED)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup system demo test test-fast check lint types imports docs bench bench-quick format wheel lock clean

help: ## say what can be made (this page)
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with the locked versions; does nothing when it is up to date

# Only what is new is installed again; `make clean setup` starts over.
$(STAMP): pyproject.toml $(LOCKED)
	@$(PYTHON) -c 'import sys; sys.exit("dsetkit needs Python 3.11 or newer, not " + sys.version.split()[0] + "; name one: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the locked versions (a minute or two the first time)"
	@$(PIP) --editable '.[dev]'
	@touch $@

system: ## install the Debian packages that some tests use (as root); says so where it cannot
	@missing=$$(for name in $$(grep -v '^#' requirements/system.txt); do \
		dpkg-query -W -f='$${Status}' "$$name" 2>/dev/null | grep -q 'ok installed' || echo "$$name"; done); \
	if [ -z "$$missing" ]; then echo "all there: $$(grep -v '^#' requirements/system.txt | xargs)"; \
	elif ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
		echo "not installed (needs apt-get and root): $$(echo $$missing); the tests that use them are skipped"; \
	else echo "installing $$(echo $$missing)"; log=$$(mktemp); \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } \
		>"$$log" 2>&1 || { tail -n 5 "$$log"; exit 1; }; rm -f "$$log"; fi

demo: setup data/sources/demo/annotations.json ## build the demo dataset, offline, and show what came of it
	dvc repro
	dsetkit status
	dsetkit show data/raw/demo
	dsetkit show data/cleaned
	dsetkit show data/augmented

# Written anew when the generator changes; its bytes are the same on every run.
data/sources/demo/annotations.json: dsetkit/stages/demo.py dsetkit/imaging/paint.py | setup
	$(BIN)/python -m dsetkit.stages.demo data/sources/demo

test: setup ## run every test
	$(PYTEST) -n $(JOBS) --dist worksteal $(ARGS)

test-fast: setup ## run the tests but the slow ones
	$(PYTEST) -n $(JOBS) --dist worksteal -m 'not slow' $(ARGS)

check: lint types imports docs ## lint, format, types, import rules, the code in docs

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy, strict
	$(BIN)/mypy

imports: setup ## imports go strictly down
	$(BIN)/lint-imports --no-logo

docs: setup ## run the code of README.md and docs/
	$(PYTEST) tests/test_docs.py

PEERS := .venv-bench
bench: $(PEERS)/.installed ## measure against peers and write benchmarks/RESULTS.md (most of an hour)
	DSETKIT_BENCH_PEERS=$(PEERS) $(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(PEERS)/.installed ## the same on a little data, judging no times: does it all still run?
	DSETKIT_BENCH_PEERS=$(PEERS) $(BIN)/python -m benchmarks --quick $(ARGS)

$(PEERS)/.installed: benchmarks/requirements.txt | setup
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@echo "installing the peers"
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --requirement benchmarks/requirements.txt
	@touch $@

format: setup ## let ruff lay the code out and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: setup ## build the wheel into dist/
	$(BIN)/python -m hatchling build --target wheel

lock: $(BIN)/uv ## find the versions to lock anew (UPGRADE=1: the newest)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-emit-package dsetkit \
		--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) \
		--output-file $(LOCKED) pyproject.toml

$(BIN)/uv:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) uv

clean: ## take away .venv, caches and what was built; data/ and DVC's cache stay
	rm -rf $(VENV) $(PEERS) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find dsetkit tests schemas benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
