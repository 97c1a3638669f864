# Every target makes .venv by itself: uv does it in a second where it is installed, venv and pip elsewhere.
# .venv/.base holds what running takes, .venv/.dev what working on it takes; both come from requirements/, with hashes.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)
# uv trusts the machine's own certificates, as pip does: behind a company's proxy it reaches nothing otherwise.
# Two names: the newer, and the one that uv knew before.
export UV_SYSTEM_CERTS ?= 1
export UV_NATIVE_TLS ?= 1
PYTEST_ARGS ?=
FUZZ_S ?= 600
FUZZ_SEED ?= 1
CHAOS_S ?= 1800
CHAOS_SEED ?= 1
CHAOS_ARGS ?=
LETTA := $(BIN)/python tests/letta_server/server.py
CODE := $(wildcard src tests smcp benchmarks)

.PHONY: help demo test chaos fuzz fuzz-http check format test-letta bench lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: .venv/.base ## see prompts registered, fired, delivered and retried, in 15 seconds
	$(BIN)/promptyoself demo

# On all cores, but for the processes of tests/e2e and tests/chaos: those hold clocks to seconds, and have the machine to
# themselves. Runs of tests/chaos wait more than they work: two at once, one after the other handed out.
test: .venv/.dev .venv/.clients .venv/.npm ## run all tests but those that need a real Letta server
ifeq ($(PYTEST_ARGS),)
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --durations=10 --ignore=tests/e2e --ignore=tests/chaos
	$(BIN)/python -m pytest --durations=10 tests/e2e
	$(BIN)/python -m pytest --durations=10 --numprocesses=2 --maxschedchunk=1 tests/chaos
else
	$(BIN)/python -m pytest $(PYTEST_ARGS)
endif

fuzz: .venv/.dev ## feed hostile texts to every parser for FUZZ_S seconds (600)
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_S) --seed $(FUZZ_SEED)

chaos: .venv/.dev ## play a fleet under kills, outages and bad agents for CHAOS_S seconds (1800), from CHAOS_SEED on
	$(BIN)/python -m pytest -q -m long tests/e2e
	$(BIN)/python -m tests.chaos --seconds $(CHAOS_S) --seed $(CHAOS_SEED) $(CHAOS_ARGS)

fuzz-http: .venv/.dev ## send FUZZ_EXAMPLES (100) made-up requests of each kind to each HTTP route
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100} $(BIN)/python -m pytest -q tests/interfaces/http/test_fuzz.py

check: .venv/.dev ## format check, lint, types, walls, then all of `make test`
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(MAKE) --no-print-directory test

# Most of these wait for a real agent: four at once. Those that restart Letta have it to themselves after them.
test-letta: .venv/.dev .venv/.npm ## start a real Letta server with a stub LLM, and run the main job against it
	trap '$(LETTA) down' EXIT; $(LETTA) up --redis && \
	$(BIN)/python -m pytest -m "letta and not letta_alone" --numprocesses=4 --durations=8 $(PYTEST_ARGS) tests/letta* && \
	$(BIN)/python -m pytest -m letta_alone --durations=8 $(PYTEST_ARGS) tests/letta*

bench: .venv/.dev ## measure cold start and throughput
	for file in benchmarks/bench_*.py; do $(BIN)/python "$$file"; done

format: .venv/.dev ## rewrite the code in the project's format
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lock: ## write requirements/ anew from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' pyproject.toml --group build -o requirements/base.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' pyproject.toml --extra serve --extra fleet --group build --group dev -c requirements/base.txt -o requirements/dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' --group build -c requirements/base.txt -o requirements/build.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' pyproject.toml --extra serve --extra fleet -c requirements/dev.txt -o requirements/all.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' --group mcp1 -o requirements/mcp1.txt

clean: ## remove .venv, caches and builds; data of promptyoself itself stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist tests/clients/npm/node_modules
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

.venv/.base: requirements/base.txt pyproject.toml
ifeq ($(UV),uv)
	@test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) .venv
	uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/base.txt
	uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $@

.venv/.dev: .venv/.base requirements/dev.txt
ifeq ($(UV),uv)
	uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
endif
	@touch $@

# Clients of other people's making that cannot live beside what we are made of, each in a folder of its own.
.venv/.clients: .venv/.base requirements/mcp1.txt
ifeq ($(UV),uv)
	uv venv --quiet --clear --python $(PYTHON) .venv/mcp1
	uv pip install --quiet --python .venv/mcp1/bin/python --require-hashes -r requirements/mcp1.txt
else
	$(PYTHON) -m venv --clear .venv/mcp1
	.venv/mcp1/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mcp1.txt
endif
	@touch $@

# Letta's TypeScript client. Without node its tests skip, and say so; the stamp stays away, so that the next run looks again.
.venv/.npm: tests/clients/npm/package.json tests/clients/npm/package-lock.json
	@if ! command -v node >/dev/null || ! command -v npm >/dev/null; then \
	  echo "node and npm are not installed: the tests that drive Letta's TypeScript client will skip"; \
	else \
	  npm ci --prefix tests/clients/npm --loglevel=error --no-audit --no-fund >/dev/null && mkdir -p .venv && touch $@ || { \
	    echo "npm could not install Letta's TypeScript client, see above. With certificates of your own: NODE_EXTRA_CA_CERTS" >&2; \
	    exit 1; \
	  }; \
	fi
