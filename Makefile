# Each target sets itself up. Needed beforehand: make, and Python 3.11, 3.12 or 3.13 with its venv module.

VENV ?= .venv
# The first Python for which TensorFlow has wheels.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; \
	done)
# Processes that run tests side by side; each uses what cores it finds.
WORKERS ?= 2
ARGS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help venv demo test lint format wheel clean

help:
	@echo "make demo     train, evaluate and export ResNet-20 on 5,000 MNIST digits"
	@echo "make test     run the tests; ARGS='-k name' picks some, WORKERS=4 runs more side by side"
	@echo "make lint     check style; make format puts right what it can"
	@echo "make wheel    build the wheel into dist/"
	@echo "make venv     only make the environment $(VENV)"
	@echo "make clean    remove what was built and cached; keeps $(VENV) and saved_models"

venv: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found; name one: make PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/tfdlcv train configs/classification/resnet20_mnist5k.yaml

# worksteal: a process that is done takes tests from the other, which evens out long ones.
test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# build/ would carry deleted modules into the wheel.
wheel: $(INSTALLED)
	rm -rf build dist
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find tfdlcv tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
