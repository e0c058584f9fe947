# `make help` lists the targets. Everything is installed into virtual environments of this checkout.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

PYTHON ?= python3
STACK ?= default
# More options for pytest and for the benchmarks: make test ARGS="-k albert", make bench ARGS=--quick
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET ?= 2
export TF_CPP_MIN_LOG_LEVEL ?= 3

# What differs between the stacks: environment, extras, Python (first and last), tests.
ifeq ($(STACK),default)
  VENV := .venv
  EXTRAS := test,lint
  PYTHON_RANGE := 3.10 3.13
  SELECTION :=
  CASES ?= most
else ifeq ($(STACK),addons)
  VENV := .venv-addons
  EXTRAS := test,lint,addons
  PYTHON_RANGE := 3.9 3.11
  SELECTION :=
  CASES ?= rest
else ifeq ($(STACK),legacy)
  VENV := .venv-legacy
  EXTRAS := test,lint,legacy
  PYTHON_RANGE := 3.10 3.13
  SELECTION := -m smoke
  export TF_USE_LEGACY_KERAS := 1
else
  $(error STACK is default, addons or legacy, but "$(STACK)" was given)
endif

RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# Files and not tests are shared out, since fixtures of a file may be heavy.
PYTEST := $(RUN) -m pytest -n 2 --dist loadfile

.PHONY: help setup demo test check lint bench bench-peers clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  STACK=addons (TensorFlow 2.15, tensorflow-addons) or STACK=legacy (tf-keras) choose"
	@echo "  another stack than TensorFlow 2.21 with Keras 3 for setup, demo and test."

setup: $(STAMP)  ## Make the virtual environment of the stack and install into it

demo: $(STAMP)  ## Fine-tune the model in the package to tell good reviews from bad ones, in a minute
	$(RUN) examples/demo.py

test: $(STAMP)  ## Run the tests of the stack (CASES=all: also those left to the other stack)
	KERASBERT_CASES=$(or $(CASES),all) $(PYTEST) $(SELECTION) $(ARGS)

check: lint  ## Lint and run the fast tests, in under two minutes
	KERASBERT_CASES=few HYPOTHESIS_PROFILE=quick $(PYTEST) -q -m "not slow" $(ARGS)

lint: $(STAMP)  ## Check style and formatting
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

bench: $(STAMP)  ## Run the benchmarks (see also bench-peers)
	$(RUN) -m benchmarks $(ARGS)

bench-peers: .venv-bench-huggingface/.installed .venv-bench-keras_hub/.installed .venv-bench-bert4keras/.installed  ## Install what the benchmarks compare with

clean:  ## Remove the virtual environments, caches and built packages
	rm -rf .venv .venv-addons .venv-legacy .venv-bench-* build dist ./*.egg-info
	rm -rf .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call make_venv,folder,first Python,last Python): with $(PYTHON) if it is in the range, or else
# with the newest one on the path that is. A name may be there and not run, so each is run.
define make_venv
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.10 python3.9 python3.7; do \
	  if $$python -c 'import sys; low, high = (tuple(map(int, a.split("."))) for a in sys.argv[1:]); sys.exit(not low <= sys.version_info[:2] <= high)' $(2) $(3) 2>/dev/null; then \
	    echo "$(1): made with $$($$python --version 2>&1) ($$python)"; \
	    exec $$python -m venv --clear $(1); \
	  fi; \
	done; \
	echo "$(1) needs Python $(2) to $(3), and there is none on the path:" >&2; \
	echo "install one, or name it: make ... PYTHON=/path/to/python" >&2; \
	exit 1
endef

$(RUN):
	$(call make_venv,$(VENV),$(firstword $(PYTHON_RANGE)),$(lastword $(PYTHON_RANGE)))

$(STAMP): pyproject.toml setup.py $(wildcard constraints/*.txt) | $(RUN)
	@echo "$(VENV): installing kerasbert[$(EXTRAS)] (a few minutes the first time)"
	@$(RUN) -m pip install --upgrade pip
	@$(RUN) -m pip install --constraint constraints/$(STACK).txt --editable '.[$(EXTRAS)]'
	@touch $@

.venv-bench-%/.installed: benchmarks/requirements-%.txt
	$(call make_venv,.venv-bench-$*,$(if $(filter bert4keras,$*),3.7,3.11),$(if $(filter bert4keras,$*),3.7,3.13))
	@.venv-bench-$*/bin/python -m pip install --upgrade pip
	@.venv-bench-$*/bin/python -m pip install --requirement $<
	@touch $@
