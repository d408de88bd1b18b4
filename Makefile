# Everything that a developer does here, each from a fresh machine with Python 3.11 or newer.

VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
# More arguments for the command of `test`, `bench` or `pins`, such as ARGS="-k outbox -x".
ARGS ?=
# For how long `soak` watches memory and file handles.
MINUTES ?= 60
# All of this is development; production sets its own environment (README).
export DEBUG ?= 1
# Without its cache each of the hundreds of processes that the tests start would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

# Twice quiet: errors only.
PIP_INSTALL := $(BIN)/pip install -qq --disable-pip-version-check
# One version of each package for all Pythons, not the newest that each could have: what is tested is what runs.
PIN := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
    --custom-compile-command "make pins"

# Development on this machine; `manage.py` reads it, also when it is not started by make.
define DOT_ENV
DEBUG=1
# With a key, calls go to the real provider and cost money; without one, to the simulator on loopback.
# OPENAI_API_KEY=
# ANTHROPIC_API_KEY=
endef
export DOT_ENV

.DEFAULT_GOAL := help
.PHONY: help setup run test test-sqlite test-postgresql recipes suites soak lint lint-types lint-rest format bench pins clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/installed ## The environment in .venv, nothing else (PYTHON=… to choose the interpreter)

run: setup .env ## The service with demo data on http://127.0.0.1:8000/ (PORT=… to move it)
	$(BIN)/python manage.py migrate
	$(BIN)/python manage.py seed_demo
	$(BIN)/python manage.py runserver 127.0.0.1:$(PORT)

test: $(VENV)/installed-dev ## All tests, on SQLite and on a real PostgreSQL at the same time (ARGS=… for pytest)
	@$(MAKE) --no-print-directory --jobs=2 test-sqlite test-postgresql

test-sqlite: $(VENV)/installed-dev
	env -u DATABASE_URL $(BIN)/python -m pytest -n logical $(ARGS)

# Its output comes in one piece when it ends, not mixed with the other's. No test is left (5) where ARGS choose unit tests.
test-postgresql: $(VENV)/installed-dev
	@log=$$(mktemp); trap 'cat $$log; rm -f $$log' EXIT; \
	$(BIN)/python -m tests.support.postgres $(BIN)/python -m pytest -n logical -m "not unit" $(ARGS) >$$log 2>&1 \
	    || [ $$? -eq 5 ]

recipes: $(VENV)/installed-dev ## The programs of docs/recipes.md with other libraries, which pip downloads, about ten minutes
	RECIPES=1 env -u DATABASE_URL $(BIN)/python -m pytest tests/recipes $(ARGS)

suites: $(VENV)/installed-dev ## The SDKs' own test suites with our clients, about ten minutes
	SDK_SUITES=$${SDK_SUITES:-1} env -u DATABASE_URL $(BIN)/python -m pytest tests/sdk_suites $(ARGS)

soak: $(VENV)/installed-dev ## The proofs of reliability in their long form, about an hour, an hour of streams and one of load (MINUTES=…)
	SOAK=1 $(BIN)/python -m tests.support.postgres $(BIN)/python -m pytest tests/reliability $(ARGS)
	SOAK=1 env -u DATABASE_URL $(BIN)/python -m pytest tests/ai_clients/proxy/test_app.py -k memory $(ARGS)
	$(BIN)/python -m tests.support.reliability.soak --minutes $(MINUTES)

lint: $(VENV)/installed-dev ## Style, types, layers, and models without a migration
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint-types lint-rest

lint-types: $(VENV)/installed-dev
	$(BIN)/mypy

lint-rest: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	env -u DATABASE_URL $(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/installed-dev ## Put the source into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/installed-bench ## The benchmarks
	$(BIN)/python -m bench $(ARGS)

pins: $(VENV)/pyvenv.cfg ## requirements*.txt from pyproject.toml (ARGS=--upgrade for the newest releases)
	$(PIP_INSTALL) uv
	$(PIN) $(ARGS) pyproject.toml --extra service --extra simulator --output-file requirements.txt
	$(PIN) $(ARGS) pyproject.toml --extra service --extra simulator --extra archive --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	$(PIN) $(ARGS) pyproject.toml --all-extras --constraint requirements-dev.txt --output-file requirements-bench.txt

clean: ## Remove the environment and the tools' caches, not var/
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

.env:
	@echo "$$DOT_ENV" > $@

# The stamps make a second `make setup` free; they are inside the environment, so that they go when it goes.
$(VENV)/installed: requirements.txt | $(VENV)/pyvenv.cfg
	@echo "Installing the packages, about half a minute …"
	@$(PIP_INSTALL) --require-hashes -r requirements.txt
	@touch $@

# requirements-dev.txt holds all of requirements.txt in the same versions, so that one installation serves both.
$(VENV)/installed-dev: requirements-dev.txt | $(VENV)/pyvenv.cfg
	@echo "Installing the packages, about half a minute …"
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@ $(VENV)/installed

# Half a gigabyte more, for the benchmarks alone.
$(VENV)/installed-bench: requirements-bench.txt | $(VENV)/pyvenv.cfg
	@echo "Installing the packages, some minutes …"
	@$(PIP_INSTALL) --require-hashes -r requirements-bench.txt
	@touch $@ $(VENV)/installed $(VENV)/installed-dev

# Each candidate is run and not only looked up: a name on the PATH may lead to no interpreter (pyenv) or to one
# without ensurepip (Debian without python3-venv).
$(VENV)/pyvenv.cfg:
	@for python in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
	    if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "$(VENV): $$("$$python" --version)"; \
	        "$$python" -m venv $(VENV) && exit 0; \
	        rm -rf $(VENV); exit 1; \
	    fi; \
	done; \
	echo "No Python 3.11 or newer with venv$(if $(PYTHON), at $(PYTHON)): install one (Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3" >&2; \
	exit 1
