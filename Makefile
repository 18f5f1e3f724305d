# `make` lists the commands. Everything runs from .venv/, which `make setup` makes.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests side by side, each process with servers of its own.
PYTEST := $(BIN)/pytest -q --numprocesses auto --maxprocesses 8

# 3.11 and 3.12 come first: the wheel of Redis 6.2, a server that the tests need, exists for those two only.
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

EXTRAS := web users metrics sentry otel fast processors push embedded dev

.PHONY: help setup dev demo test test-servers cron-check check gates sim fmt bench lock

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make the environment in .venv/, and nothing else

$(READY): pyproject.toml requirements.lock requirements-markers.lock
	@if ! $(BIN)/python -c '$(USABLE)' 2>/dev/null; then \
		for python in $(PYTHONS); do \
			if "$$python" -c '$(USABLE)' 2>/dev/null; then break; fi; python=; \
		done; \
		if [ -z "$$python" ]; then \
			echo "streamq needs Python 3.11 or newer with venv and pip, and none is on PATH. Install one (Debian: python3-venv), or name it: make setup PYTHON=/path/to/python3.11" >&2; \
			exit 1; \
		fi; \
		echo "making $(VENV) with $$("$$python" --version)"; \
		"$$python" -m venv --clear $(VENV); \
	fi
	@echo "installing the locked packages"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes \
		-r requirements.lock -r requirements-markers.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

dev: setup ## run everything here: Redis, PostgreSQL with data, S3, workers, the admin; Ctrl-C ends it all
	@exec $(BIN)/streamq dev processors.app:app

demo: setup ## the same for one job of each kind and every schedule; opens and lists all that they make
	@exec $(BIN)/python -m processors.demo

# The gates that need no server. Separate from `check`, so that `test` does not run the fast tests twice.
gates: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

check: gates ## the fast gates: format, lint, types, import contracts, tests that are not slow (a minute)
	$(PYTEST) -m "not slow"

test: gates ## every gate and every test, on every server (some 15 min)
	$(BIN)/python -m tests.support.on_servers

test-servers: setup ## transitions and integration again on Redis 6.2, Redis 7.0 and a cluster of three
	$(BIN)/python -m tests.support.on_servers --others

cron-check: setup ## schedules against two oracles: every zone, every clock change 2000-2040 (about 20 min)
	$(BIN)/python -m tests.full.cron_all

sim: setup ## the simulator: real engine and scripts under a virtual clock, faults by seed (SIM="--seeds 1:10000")
	$(BIN)/python -m streamq.testing sim $(SIM)

fmt: setup ## format and fix what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## measure speed on a server of its own; writes benchmarks/results/*.json (BENCH="--quick --check")
	$(BIN)/python -m benchmarks $(BENCH)

bench-peers: setup ## measure beside BullMQ, arq, Celery and others, put into .bench/ (BENCH="--quick --only arq")
	$(BIN)/python -m benchmarks.peers.install
	$(BIN)/python -m benchmarks peers $(BENCH)

# On the oldest Python, whose packages are a superset of what later ones need.
lock: setup ## make requirements.lock anew from pyproject.toml (with Python 3.11)
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links \
		--no-emit-trusted-host --no-header --strip-extras $(EXTRAS:%=--extra %) \
		--output-file requirements.lock pyproject.toml
