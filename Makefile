# Targets are listed by `make help`. Everything runs in .venv, which `make setup` builds from .ci/constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
HGA := $(BIN)/hga

.DEFAULT_GOAL := help
.PHONY: help setup format check test demo bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.installed  ## make .venv and install hga with its development tools

.venv/.installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[dev]'
	@touch $@
