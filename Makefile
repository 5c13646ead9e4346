PYTHON ?= python3
BIN := .venv/bin
# What pip would compile one file after the other is compiled on all cores afterwards.
PIP := $(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt
LOWEST_TESTS := tests/test_loops.py tests/circuits/formats tests/decode/test_row_index.py \
	tests/decode/test_auto.py tests/cli/test_main.py tests/cli/test_certify.py
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests/' .venv/lib || true

.PHONY: demo test shapes nightly lowest check docs dist front-end clean

demo: .venv/core  ## compile a 16-bit multiplier, multiply by chain of thought, prove it, draw its page
	rm -rf demo
	$(BIN)/serialformer demo -o demo

test: .venv/all  ## install the extras and run every test but the slow ones
	$(BIN)/python -m pytest -m "not slow"

shapes: .venv/all  ## the tests with the shapes and types of all arrays checked at every call
	CHECK_SHAPES=1 $(BIN)/python -m pytest -m "not slow"

nightly: .venv/all  ## the slow tests, and every property on many examples
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m pytest -m "not slow" --hypothesis-profile nightly

lowest: constraints-lowest.txt  ## the core's tests with the lowest supported version of each dependency
	rm -rf .venv-lowest
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check --constraint constraints-lowest.txt --editable '.[hypothesis]' pytest
	.venv-lowest/bin/python -m pytest -o addopts= -W ignore::DeprecationWarning -q $(LOWEST_TESTS)

check: .venv/all  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases tests benchmarks
	set -e; for folder in recipes/*/; do $(BIN)/mypy $$folder*.py; done

dist: .venv/all  ## source distribution and wheel in dist/; the wheel is installed in an empty environment and compiles a circuit
	rm -rf dist .venv-wheel
	$(BIN)/python -m hatchling build
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	.venv-wheel/bin/serialformer --version
	cd dist && ../.venv-wheel/bin/serialformer compile ../examples/multiplier16.blif -o model
	cd dist && ../.venv-wheel/bin/serialformer run model -i a=3 -i b=5 | grep -x product=15
	rm -rf .venv-wheel dist/model

docs: .venv/all  ## the documents as a site in site/; a broken link is an error, and nothing is fetched
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

front-end:  ## what builds the page of `explore` and judges it (needs npm; users need neither)
	cd explore && npm ci --silent

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/core: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	$(COMPILE)
	touch $@

.venv/all: .venv/core
	$(PIP) --editable '.[torch,hdl,docs,dev]'
	$(COMPILE)
	touch $@

clean:
	rm -rf .venv .venv-lowest .venv-wheel demo site dist
