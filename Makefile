# The commands of CONTRIBUTING.md under one name each. They run in the virtual environment that is active.
.DEFAULT_GOAL := help
PYTHON ?= python
FAST := tests/backend tests/bitstream tests/contracts tests/entropy tests/media tests/metrics

.PHONY: help setup fast test lint format documents benchmarks arm speeds fuzz clean

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

format: ## formats Python and C++
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
	clang-format -i $$(git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh')

documents: ## makes man pages and the pictures of the architecture anew and tests every document
	$(PYTHON) tools/make_man_pages.py
	$(PYTHON) tools/make_architecture_picture.py
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

speeds: ## times every form of the functions of motion and filter; nothing passes or fails
	cmake -S . -B build/speeds -DDCVC_PYTHON=OFF -DDCVC_CPP_TESTS=ON
	cmake --build build/speeds --target motion_parity_test filter_parity_test
	for part in motion filter; do build/speeds/kernels/tests/$${part}_parity_test 20 speeds || exit 1; done

fuzz: ## runs each C++ fuzz target for a minute; wants clang
	cmake -S . -B build/fuzz -DCMAKE_CXX_COMPILER=clang++ -DDCVC_PYTHON=OFF -DDCVC_CPP_TESTS=ON \
	  -DDCVC_FUZZ=ON -DDCVC_SANITIZE=fuzzer-no-link,address,undefined
	cmake --build build/fuzz --target entropy_fuzz motion_fuzz filter_fuzz
	for part in entropy motion filter; do build/fuzz/kernels/tests/$${part}_fuzz -max_total_time=60 || exit 1; done

clean: ## removes what builds and tests have left
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
