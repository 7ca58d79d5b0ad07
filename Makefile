# The commands of CONTRIBUTING.md under one name each. They run in the virtual environment that is active.
.DEFAULT_GOAL := help
PYTHON ?= python
FAST := not slow

.PHONY: help setup fast test lint format documents benchmarks clean

help: ## says what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "%-12s %s\n", $$1, $$2 }'

setup: ## installs dcvc, editable, with what the tests need
	$(PYTHON) -m pip install -e '.[test]'

fast: ## the tests that take about a minute
	$(PYTHON) -m pytest -m '$(FAST)' tests/unit tests/property tests/contracts

test: ## all tests, as CI runs them
	$(PYTHON) -m pytest

lint: ## ruff and mypy
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

format: ## formats Python
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

documents: ## makes the man pages anew and tests every document
	$(PYTHON) tools/make_man_pages.py
	$(PYTHON) -m pytest tests/contracts

benchmarks: ## times the kernels and the entropy coder on this machine; nothing passes or fails
	$(PYTHON) tests/bench/bench_kernels.py
	$(PYTHON) tests/bench/bench_entropy.py

clean: ## removes what builds and tests have left
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
