# The commands of CONTRIBUTING.md under one name each. They run in the virtual environment that is active.
.DEFAULT_GOAL := help
PYTHON ?= python
FAST := tests/backend tests/bitstream tests/contracts tests/entropy tests/media tests/metrics

.PHONY: help setup fast test lint format documents benchmarks arm clean

help: ## says what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "%-12s %s\n", $$1, $$2 }'

setup: ## installs dcvc, editable, with what the tests need
	$(PYTHON) -m pip install -e '.[test]'

fast: ## the tests that take about a minute
	$(PYTHON) -m pytest -m 'not slow' $(FAST)

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

arm: ## builds for 64-bit Arm and runs the C++ tests there; wants g++-aarch64-linux-gnu and qemu-user
	cmake -S . -B build/arm -G Ninja -DDCVC_PYTHON=OFF -DDCVC_CPP_TESTS=ON \
	  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
	  "-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64;-L;/usr/aarch64-linux-gnu"
	cmake --build build/arm
	ctest --test-dir build/arm --output-on-failure

clean: ## removes what builds and tests have left
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
