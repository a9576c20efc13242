# Task names for people and for CI; each target does what it depends on.
# The environment is made from the lock with pip alone; uv, installed into it, then does the work in seconds.

PORTFOLIO ?= taiwan_cards
PORT ?= 3000
PYTHON ?= $(shell command -v python3.11 || command -v python3)

BIN := .venv/bin
STAMP := .venv/.installed
export BENTOML_DO_NOT_TRACK := true
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup run serve test check bench lock format clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 12

setup: $(STAMP) ## make .venv with the locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "Python 3.11 to 3.13 is needed; name one with 'make $(MAKECMDGOALS) PYTHON=/path/to/python3.11'." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the locked dependencies into .venv (about 3 GB, once) ..."
	@grep -A1000 '^uv==' requirements.lock | sed -n '1p;2,$${/^[a-z]/q;p;}' > .venv/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement .venv/uv.lock
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

run: $(STAMP) ## run all pipelines on PORTFOLIO, from received rows to the built Bento
	@$(BIN)/kedro run --env=$(PORTFOLIO)

serve: build/credit_scoring_$(PORTFOLIO).tag ## serve the built Bento on 127.0.0.1:PORT
	@$(BIN)/credit-scoring serve --portfolio $(PORTFOLIO) --port $(PORT)

build/credit_scoring_$(PORTFOLIO).tag: $(STAMP)
	@test -f $@ || $(MAKE) --no-print-directory run

test: $(STAMP) ## run all tests
	@$(BIN)/python -m pytest

check: $(STAMP) ## ruff, mypy and the import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP) ## run the benchmarks; their results go to benchmarks/results
	@$(BIN)/python benchmarks/cross_validation.py
	@$(BIN)/python benchmarks/features.py
	@$(BIN)/python benchmarks/ingestion.py
	@$(BIN)/python benchmarks/tree_explanations.py
	@$(BIN)/python benchmarks/serving

format: $(STAMP) ## format and mend what ruff can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(STAMP) ## resolve both locks anew: all of it, and the service's part
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --upgrade --extra dev pyproject.toml --output-file requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --extra service --constraints requirements.lock pyproject.toml --output-file requirements-service.lock

clean: ## remove the environment and everything that was built; data and records stay
	rm -rf .venv build
