PYTHON ?= python3
BIN := .venv/bin
# What pip would compile one file after the other is compiled on all cores afterwards.
PIP := $(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests/' .venv/lib || true

.PHONY: demo test check docs front-end clean

demo: .venv/core  ## compile a 16-bit multiplier, multiply by chain of thought, prove it, draw its page
	rm -rf demo
	$(BIN)/serialformer demo -o demo

test: .venv/all  ## install the extras and run every test but the slow ones
	$(BIN)/python -m pytest

check: .venv/all  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

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
	rm -rf .venv demo site
