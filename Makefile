# Everything here works from a bare checkout: it needs Python 3.11 or newer with venv, a C compiler and make.

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
# Benchmarks run in an environment of their own, which holds minidl and its peers side by side: the same Python and
# NumPy under all of them, and nothing of the peers where minidl is developed.
PEERS := .venv-peers
PEER_PACKAGES := torch==2.13.0 jax==0.10.* onnx onnxruntime
BUILD := build/dev
SANITIZED := build/sanitize
# The build tools are called by name; nothing of the caller's Python may leak in.
export PATH := $(BIN):$(PATH)
unexport PYTHONPATH PYTHONHOME
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RUN := $(BIN)/python

.PHONY: help build build-all lenet test test-half test-rest test-slow test-isa test-all test-full parity mutants sanitize lint bench dist clean

help:
	@echo "make lenet      train LeNet-5 on MNIST (LENET='--fast ...' passes options on)"
	@echo "make test       run the tests (PARITY=1 compares with PyTorch, installing it)"
	@echo "make test-all   the slow tests, all on every instruction set and with bounds checks, and (PARITY=1) every third mutant;"
	@echo "                FULL=1 plants all mutants and draws 20,000 random networks and convolutions, too"
	@echo "make mutants    plant mistakes and see each caught by a test (MUTANTS='col2im ...' only some)"
	@echo "make sanitize   the kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make lint       ruff, mypy, cython-lint"
	@echo "make bench      time everything beside PyTorch, JAX and ONNX Runtime, installing them (BENCH='--quick ...')"
	@echo "make dist       an sdist and a wheel in dist/"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "minidl needs Python 3.11 or newer; say which: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The checkout itself is what the environment imports: Python edits are live, and kernels are put beside their sources.
$(VENV)/.installed: pyproject.toml tools/requirements.py | $(VENV)/bin/python
	@echo "Installing what minidl is built and tested with into $(VENV)"
	@$(RUN) tools/requirements.py test > $(VENV)/requirements.txt
	@$(PIP) -r $(VENV)/requirements.txt
	@echo "$(CURDIR)" > "$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/minidl-checkout.pth"
	@touch $@

$(BUILD)/build.ninja: $(VENV)/.installed
	@echo "Building minidl's kernels for this processor (some 90 seconds)"
	@rm -rf $(BUILD)
	@$(BIN)/meson setup $(BUILD) -Dbuildtype=release -Dinstruction_sets=native > /dev/null 2>&1 || \
	  { cat $(BUILD)/meson-logs/meson-log.txt; exit 1; }

# A folder that has been told to build everything stays so.
$(BUILD)/.all: | $(BUILD)/build.ninja
	@echo "Building minidl's kernels for every instruction set, and with bounds checks (some four minutes)"
	@$(BIN)/meson configure $(BUILD) -Dinstruction_sets=all -Ddebug_kernels=true
	@touch $@

build-all: $(BUILD)/.all
	@$(MAKE) --no-print-directory build

build: $(BUILD)/build.ninja
	@$(BIN)/ninja -C $(BUILD) --quiet
	@for module in $(BUILD)/minidl/_ext/*.so; do cmp -s $$module minidl/_ext/$${module##*/} || \
	  { cp $$module minidl/_ext/.new && mv minidl/_ext/.new minidl/_ext/$${module##*/}; }; done

# Only AddressSanitizer's own build has these kernels, and only a process that loads its library first can import them.
$(SANITIZED)/build.ninja: $(VENV)/.installed
	@rm -rf $(SANITIZED)
	@$(BIN)/meson setup $(SANITIZED) -Dbuildtype=release -Dsanitize=true > /dev/null 2>&1 || \
	  { cat $(SANITIZED)/meson-logs/meson-log.txt; exit 1; }

# Mutants are planted one by one: every so many of the table.
EVERY := 1
sanitize: $(SANITIZED)/build.ninja
	@$(BIN)/ninja -C $(SANITIZED) --quiet
	$(RUN) tests/mutants.py --sanitize --every $(EVERY) $(MUTANTS)

mutants: build-all parity
	$(RUN) tests/mutants.py --every $(EVERY) $(MUTANTS)

parity: build
	@$(RUN) -c 'import torch' 2>/dev/null || $(PIP) torch==2.13.0

lenet: build
	@$(RUN) examples/lenet.py $(LENET)

# Tests that take about half of the time. Those that count what was met count what their own file met.
HALF := test_ops.py $(notdir $(wildcard tests/test_parity_*.py tests/test_kernels_*.py))
# What depends on how kernels were compiled. PyTorch's values are compared with once, by `make test`.
OTHER_KERNELS := $(notdir $(wildcard tests/test_kernels*.py)) test_algorithms.py test_geometries.py test_graph_threads.py \
  test_lockstep.py test_loss_limits.py test_models.py test_precision_history.py test_reference.py test_runtime.py \
  test_same_bits.py test_tampering.py test_threads.py nn optim
test: build $(if $(PARITY),parity)
	@echo "The tests run in two processes at a time, which print when they are done, after about five minutes."
	@$(MAKE) --no-print-directory --output-sync=target -j2 test-half test-rest
	$(RUN) -m pytest -q --doctest-modules minidl

test-half:
	MINIDL_PARITY=$(PARITY) $(RUN) -m pytest -q -m "not slow" $(addprefix tests/,$(HALF))

test-rest:
	MINIDL_PARITY=$(PARITY) $(RUN) -m pytest -q -m "not slow" tests $(addprefix --ignore=tests/,$(HALF))

ISAS := debug v2 v3
test-all: build-all $(if $(PARITY),parity)
	@$(MAKE) --no-print-directory --output-sync=target -j2 test-slow \
	  $(ISAS:%=test-isa-ops-%) $(ISAS:%=test-isa-rest-%)
	@$(MAKE) --no-print-directory sanitize $(if $(PARITY),mutants) EVERY=$(if $(FULL),1,3) $(if $(FULL),test-full)

# What is drawn at random, with many more draws than a change needs to be checked by; takes more than an hour.
test-full: build $(if $(PARITY),parity)
	MINIDL_PARITY=$(PARITY) MINIDL_EXAMPLES=20000 $(RUN) -m pytest -q tests/nn/test_random_networks.py \
	  tests/test_kernels_corners.py
	MINIDL_PARITY=$(PARITY) MINIDL_EXAMPLES=3000 $(RUN) -m pytest -q tests/test_geometries.py
	MINIDL_EXAMPLES=3000 $(RUN) -m pytest -q -m slow tests/test_tampering.py

test-slow:
	MINIDL_PARITY=$(PARITY) $(RUN) -m pytest -q -m slow tests

test-isa-ops-%:
	@$(MAKE) --no-print-directory test-isa ISA=$* TESTS=tests/test_ops.py

test-isa-rest-%:
	@$(MAKE) --no-print-directory test-isa ISA=$* TESTS="$(addprefix tests/,$(OTHER_KERNELS))"

# The set that this processor takes by itself has been tested by `make test`.
test-isa:
	@echo "MINIDL_ISA=$(ISA) $(TESTS)"
	@if ! MINIDL_ISA=$(ISA) $(RUN) -c 'import minidl' 2>/dev/null; then echo "this processor has no $(ISA)"; \
	elif [ "$$($(RUN) -c 'from minidl.kernels import instruction_set; print(instruction_set())')" = $(ISA) ]; then \
	  echo "that is what make test has run"; \
	else MINIDL_ISA=$(ISA) $(RUN) -m pytest -q -m "not slow" $(TESTS); fi

lint: build
	@$(RUN) tools/requirements.py lint > $(VENV)/requirements-lint.txt
	@$(PIP) -r $(VENV)/requirements-lint.txt
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(RUN) -m mypy
	$(BIN)/cython-lint minidl/_ext

$(PEERS)/bin/python: | $(VENV)/bin/python
	$(PYTHON) -m venv $(PEERS)

# A peer that can't be installed is left out, and tried again the next time.
$(PEERS)/.installed: Makefile pyproject.toml tools/requirements.py | $(PEERS)/bin/python
	@echo "Installing what minidl is compared with into $(PEERS)"
	@$(RUN) tools/requirements.py data plot > $(PEERS)/requirements.txt
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $(PEERS)/requirements.txt
	@echo "$(CURDIR)" > "$$($(PEERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/minidl-checkout.pth"
	@failed=; for package in $(PEER_PACKAGES); do \
	  $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check "$$package" || \
	    { failed=yes; echo "left out: $$package can't be installed"; }; \
	done; test -n "$$failed" || touch $@

bench: build $(PEERS)/.installed
	$(PEERS)/bin/python benchmarks/run.py $(BENCH)

dist: $(VENV)/.installed
	@$(PIP) build
	$(RUN) -m build

clean:
	rm -rf build dist $(VENV) $(PEERS) .pytest_cache .mypy_cache .ruff_cache minidl/_ext/*.so
