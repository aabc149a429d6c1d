# Needs Python 3.10 to 3.13 and make; everything else is installed into $(VENV), as
# pinned in constraints.txt, the first time that a target needs it.

PYTHON ?= python3
VENV ?= .venv
# TensorFlow takes seconds to start and a core to run: more workers are rarely faster.
WORKERS ?= 2
PYTEST_FLAGS ?=
LOCK_FLAGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
INSTALL := $(PIP) install --constraint constraints.txt
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format bench lock clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed ## Train on x**2 and see its curvature (examples/quadratic.py)
	$(BIN)/python examples/quadratic.py

test: $(VENV)/.installed ## Run the tests, without the slow ones
	$(PYTEST) -m "not slow" $(PYTEST_FLAGS)

test-all: $(VENV)/.installed ## Run all tests
	$(PYTEST) $(PYTEST_FLAGS)

lint: $(VENV)/.installed ## Check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.installed ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(VENV)/.installed-bench ## Measure what the monitor costs, and peak memory
	$(BIN)/python benchmarks/monitor_cost.py
	$(BIN)/python benchmarks/memory.py

lock: $(VENV)/.installed ## Pin what pyproject.toml asks for (LOCK_FLAGS=--upgrade: newest)
	$(INSTALL) uv
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.10 \
		--all-extras --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" \
		--quiet --output-file constraints.txt $(LOCK_FLAGS)

clean: ## Remove what the tools left behind, but not the environment
	rm -rf build dist logs .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find benchmarks examples src tests -name __pycache__ -exec rm -rf {} +

distclean: clean ## Remove the environment too
	rm -rf $(VENV)

# The build backend comes first and from the same pins: an isolated build would fetch
# whatever is newest.
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): about a minute, more on a slow network"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) editables hatchling
	$(INSTALL) --no-build-isolation --editable '.[examples,lint,test]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(INSTALL) --no-build-isolation --editable '.[bench]'
	@touch $@
