# Everything runs in an environment of the project's own, .venv, made by the first target that needs it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests are spread, module by module, over one process more than there are cores, up to four: some
# wait for others' processes. On one: make test SPREAD=
SPREAD ?= -n $(shell expr $$(nproc) + 1) --maxprocesses 4 --dist loadfile

.PHONY: demo test lint bench proofs test-all clean

demo: $(VENV)/.run
	$(BIN)/sim run scenarios/smart_grid.yaml

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m "not slow" $(SPREAD)

test-all: $(VENV)/.dev
	SIM_TESTS=all $(BIN)/python -m pytest -q $(SPREAD)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

proofs: $(VENV)/.dev
	$(BIN)/python -m proofs

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q -e .
	touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.run
	$(BIN)/pip install -q -e '.[dev]'
	touch $@
