# Needs Python 3.10 to 3.13 and make; everything else is installed into $(VENV), as
# pinned in constraints.txt, the first time that a target needs it.

PYTHON ?= python3
VENV ?= .venv
# TensorFlow takes seconds to start and a core to run: more workers are rarely faster.
WORKERS ?= 2
PYTEST_FLAGS ?=
LOCK_FLAGS ?=
MATRIX_FLAGS ?=
# The benchmark's own environment, with every peer on Python 3.12: BENCH_PYTHON=python3.12;
# BENCH_FLAGS: --quick, --only PATTERN, ...
BENCH_PYTHON ?= $(PYTHON)
BENCH_VENV ?= .venv-bench
BENCH_FLAGS ?=
BROWSER_FLAGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
INSTALL := $(PIP) install --constraint constraints.txt
BENCH_INSTALL := $(subst $(BIN),$(BENCH_VENV)/bin,$(INSTALL))
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal
# XLA compiles hundreds of small programs, each once: so it takes half the time.
QUICK_XLA := --xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1 \
	--xla_cpu_use_fusion_emitters=false
# In processes of their own: Keras has one backend.
ON = TEST_BACKEND=$(1) XLA_FLAGS="$(QUICK_XLA)" \
	$(BIN)/python tools/when_installed.py $(1) -m pytest \
	--numprocesses $(WORKERS) --dist worksteal tests/backends tests/$(1) \
	$(patsubst %,tests/functions/test_%.py,partial_derivatives ties where) \
	tests/layers/test_random_directions.py

# Tests, pages and examples of docstrings that are not written for one backend: on all of them.
NEUTRAL := tests/diagnosis tests/enclosures tests/proofs/test_prove.py \
	tests/functions/test_hidden_fraction.py tests/functions/test_smooth.py \
	$(patsubst %,src/keras_curvature/%, \
		diagnosis enclosures estimates functions layers measurement monitor proofs report summaries \
		verification) \
	tests/project/test_docs.py \
	$(patsubst %,tests/measurement/test_%.py, \
		digits examples ground_truth loss_probe plane_maps shape slices two_valued) \
	$(patsubst %,tests/monitor/test_%.py, \
		as_traced columns freq measure monitor names order proving schedule shape stop_on_verdict)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-backends test-browser lint format docs pictures survey lock clean distclean
.PHONY: bench bench-activations bench-halves bench-higher-orders bench-import bench-jax bench-long bench-monitor
.PHONY: bench-memory bench-page bench-proofs bench-random bench-torch bench-trials bench-wide
.PHONY: architecture build check-gpu test-matrix

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed ## Train on x**2 and see its curvature (examples/quadratic.py)
	$(BIN)/python examples/quadratic.py

test: $(VENV)/.installed-backends ## Run the tests, without the slow ones
	XLA_FLAGS="$(QUICK_XLA)" $(PYTEST) -m "not slow" $(PYTEST_FLAGS)
	$(call ON,jax) -m "not slow"
	$(call ON,torch) -m "not slow"

test-all: $(VENV)/.installed-backends test-browser test-backends ## Run all tests
	$(PYTEST) -m "not browser" $(PYTEST_FLAGS)

test-backends: $(VENV)/.installed-backends ## Run all tests of the other backends
	$(call ON,jax) $(NEUTRAL)
	$(call ON,torch) $(NEUTRAL)

# CHROMIUM=/path/to/chromium if it is not found; without one the tests are skipped and say so.
test-browser: $(VENV)/.installed ## Test the page, in TensorBoard and alone, in a real browser (needs Chromium)
	$(INSTALL) --no-build-isolation --editable '.[browser]'
	$(BIN)/python -m pytest tests/summaries/browser -rs $(BROWSER_FLAGS)

# MATRIX_FLAGS: --short, --only oldest, -- tests/monitor/test_monitor.py, ...
test-matrix: $(VENV)/.installed ## Run the tests on the oldest and newest versions supported
	$(INSTALL) uv
	$(BIN)/python tools/test_matrix.py $(MATRIX_FLAGS)

check-gpu: $(VENV)/.installed ## Test and measure what only a GPU can tell (eight minutes)
	$(INSTALL) --no-build-isolation --editable '.[bench]'
	$(BIN)/python tools/check_gpu.py

architecture: ## Draw the picture of ARCHITECTURE.md (needs Graphviz)
	dot -Tsvg docs/images/architecture.dot -o docs/images/architecture.svg

build: $(VENV)/.installed ## Build wheel and sdist into dist/
	$(BIN)/python -m hatchling build

lint: $(VENV)/.installed ## Check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.installed ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

docs: $(VENV)/.installed ## Build the documentation: build/docs/index.html
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs

survey: $(VENV)/.installed-backends ## Ask every backend about everything in Keras: docs/second-derivatives.md
	$(BIN)/python docs/studies/survey

pictures: $(VENV)/.installed ## Draw the documentation's pictures again (half a minute)
	$(BIN)/python docs/pictures.py

bench: $(BENCH_VENV)/.installed ## Measure against every peer: benchmarks/RESULTS.md (40 min)
	$(BENCH_VENV)/bin/python -m benchmarks.race $(BENCH_FLAGS)

bench-activations: $(VENV)/.installed ## Compare activations: a table of docs/relu.md (two minutes)
	$(BIN)/python docs/studies/activations.py

bench-halves: $(BENCH_VENV)/.installed ## Measure large batches as a whole and in two halves
	$(BENCH_VENV)/bin/python -m benchmarks.cost.parallel_halves

bench-higher-orders: $(BENCH_VENV)/.installed ## Measure third and fourth order: benchmarks/HIGHER_ORDERS.md
	$(BENCH_VENV)/bin/python -m benchmarks.cost.higher_orders

bench-import: $(VENV)/.installed ## Measure what importing the library costs
	$(BIN)/python benchmarks/cost/import_time.py

bench-monitor: $(VENV)/.installed ## Measure what the monitor adds to an epoch, and the tab to it
	$(BIN)/python benchmarks/cost/monitor_cost.py
	$(BIN)/python benchmarks/cost/tab_cost.py

bench-proofs: $(VENV)/.installed ## Measure how long proofs of convexity take, and what they leave open
	$(BIN)/python benchmarks/cost/proofs.py

bench-page: $(VENV)/.installed ## Measure the page as one file in a browser (needs Chromium)
	$(INSTALL) --no-build-isolation --editable '.[browser]'
	$(BIN)/python benchmarks/cost/page_cost.py

bench-memory: $(VENV)/.installed ## Measure the peak memory of large probes
	$(BIN)/python benchmarks/cost/memory.py

bench-jax: $(BENCH_VENV)/.installed ## Measure on JAX beside folx and jax.hessian: benchmarks/ON_JAX.md
	$(BENCH_VENV)/bin/python -m benchmarks.cost.on_jax

bench-random: $(VENV)/.installed ## Measure training steps with random directions
	$(BIN)/python benchmarks/cost/random_directions.py

bench-torch: $(BENCH_VENV)/.installed ## Measure on PyTorch beside torch.func and jet: benchmarks/ON_TORCH.md
	$(BENCH_VENV)/bin/python -m benchmarks.cost.on_torch

bench-long: $(VENV)/.installed ## Measure memory and log of a monitor over 2,000 epochs
	$(BIN)/python benchmarks/cost/long_run.py

bench-trials: $(VENV)/.installed ## Measure what a log adds to short trials of one architecture
	$(BIN)/python benchmarks/cost/trials.py

bench-wide: $(VENV)/.installed ## Measure a step of the monitor where inputs are many
	$(BIN)/python benchmarks/cost/wide_monitor.py

lock: $(VENV)/.installed ## Pin what pyproject.toml asks for (LOCK_FLAGS=--upgrade: newest)
	$(INSTALL) uv
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.10 \
		--all-extras --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" \
		--quiet --output-file constraints.txt $(LOCK_FLAGS)

clean: ## Remove what the tools left behind, but not the environment
	rm -rf build dist logs __pycache__ .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find benchmarks docs examples src tests tools -name __pycache__ -exec rm -rf {} +

distclean: clean ## Remove the environments too
	rm -rf $(VENV) $(BENCH_VENV) .venv-matrix

# The build backend comes first and from the same pins: an isolated build would fetch
# whatever is newest.
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): about a minute, more on a slow network"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) editables hatchling
	$(INSTALL) --no-build-isolation --editable '.[docs,examples,interop,lint,test]'
	@touch $@

# They stay out of `make demo`, which does not need them; there is no JAX for Python 3.10.
$(VENV)/.installed-backends: $(VENV)/.installed
	$(INSTALL) --no-build-isolation --editable '.[jax,torch]'
	@touch $@

# The peers stay out of $(VENV) and of constraints.txt: nobody but the benchmark needs them.
$(BENCH_VENV)/.installed: pyproject.toml constraints.txt benchmarks/requirements.txt
	@echo "Setting up $(BENCH_VENV): some minutes, and some GB"
	$(BENCH_PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_INSTALL) editables hatchling
	$(BENCH_INSTALL) --no-build-isolation --editable '.[bench]' -r benchmarks/requirements.txt
	@touch $@
