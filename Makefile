# Everything here works from a bare checkout: it needs Python 3.11 or newer with venv, a C compiler and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUILD := build/editable
# The build tools are called by name; nothing of the caller's Python may leak in.
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONPATH PYTHONHOME
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RUN := $(BIN)/python

MODULES := $(shell find minidl -name '*.py' | sort)

.PHONY: help lenet test test-all lint bench sdist clean parity build

help:
	@echo "make lenet      train LeNet-5 on MNIST (LENET='--fast ...' passes options on)"
	@echo "make test       run the tests (PARITY=1 compares with PyTorch, installing it)"
	@echo "make test-all   the tests on every instruction set, with bounds checks, and of the packages"
	@echo "make lint       ruff, mypy, cython-lint"
	@echo "make bench      the training step beside PyTorch"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "minidl needs Python 3.11 or newer; say which: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.tools: pyproject.toml | $(BIN)/python
	@echo "Installing the build and test tools into $(VENV)"
	@$(PIP) "meson-python>=0.16" meson ninja "cython>=3.1" "numpy>=2.0" "scipy>=1.13"
	@touch $@

# The list of modules is part of the build's configuration, so a new one configures anew.
$(BUILD)/modules: $(MODULES)
	@mkdir -p $(BUILD)
	@echo "$(MODULES)" | cmp -s - $@ || { echo "$(MODULES)" > $@; touch minidl/meson.build; }

$(VENV)/.installed: $(VENV)/.tools pyproject.toml meson.build meson.options
	@echo "Building minidl"
	@$(PIP) --no-build-isolation -Cbuild-dir=$(BUILD) -Csetup-args=-Ddebug_kernels=true --editable '.[test]'
	@touch $@

build: $(VENV)/.installed $(BUILD)/modules
	@$(BIN)/ninja -C $(BUILD) --quiet

parity: build
	@$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) torch==2.13.0

lenet: build
	$(RUN) examples/lenet.py $(LENET)

test: build $(if $(PARITY),parity)
	MINIDL_PARITY=$(PARITY) $(RUN) -m pytest -q -m "not slow"
	$(RUN) -m pytest -q --doctest-modules minidl

test-all: build $(if $(PARITY),parity)
	MINIDL_PARITY=$(PARITY) $(RUN) -m pytest -q -m slow
	for isa in debug v2 v3; do \
	  if MINIDL_ISA=$$isa $(RUN) -c 'import minidl' 2>/dev/null; then echo "MINIDL_ISA=$$isa"; \
	  MINIDL_PARITY=$(PARITY) MINIDL_ISA=$$isa $(RUN) -m pytest -q -m "not slow" tests --ignore=tests/data --ignore=tests/examples || exit 1; fi; \
	done

lint: build
	@$(PIP) --no-build-isolation "ruff>=0.5" "mypy>=1.11" "cython-lint>=0.16" scipy-stubs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(RUN) -m mypy
	$(BIN)/cython-lint minidl/_ext

bench: parity
	$(RUN) benchmarks/lenet_step.py

sdist:
	@$(PIP) build
	$(BIN)/python -m build

clean:
	rm -rf build dist $(VENV) .pytest_cache .mypy_cache .ruff_cache
