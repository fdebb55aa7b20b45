# Everything a newcomer or a machine runs. `make demo` needs nothing but Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One more than there are cores: tests in a browser and of servers wait for other processes.
WORKERS = $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")
# Python compiles a module when it is first imported: most of PyTorch's never are, and compiling them takes a minute.
# It must keep what it compiled, which some containers forbid: each of the processes to come would compile it again.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile

.PHONY: demo test test-long gallery check bench promises docs clean

$(BIN)/clearsight: pyproject.toml
	@echo "installing Clearsight and PyTorch into $(VENV): about 6 GB, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml
	@echo "installing Clearsight, PyTorch and what the checks need into $(VENV): about 7 GB, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[dev]'
	@touch $(BIN)/clearsight $@

demo: $(BIN)/clearsight  ## install, train on the embedded digits, show where the report is
	$(BIN)/clearsight train digits

test: $(VENV)/.dev  ## run the tests that every commit must pass, in a real browser too
	$(BIN)/python tests/browser.py
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-long: $(VENV)/.dev  ## many seeds, fuzzing, kills, versions: hours; goes on where it was interrupted
	$(BIN)/python tests/browser.py
	$(BIN)/python -m pytest --long -n auto --dist worksteal

gallery: $(VENV)/.dev  ## every claim of examples/, as the median of three seeds
	$(BIN)/python -m pytest --long -n auto --dist worksteal tests/examples

check: $(VENV)/.dev  ## formatting, lint, docstrings, types, layers
	$(BIN)/ruff format --check src tests benchmarks examples docs/*.py
	$(BIN)/ruff check src tests benchmarks examples docs/*.py
	$(BIN)/python docs/docstrings.py
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev  ## every benchmark, results on standard output
	$(BIN)/python -m benchmarks

promises: $(VENV)/.dev  ## whether what runs promise holds, on ten data sets and over seeds: hours; goes on where it was interrupted
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m benchmarks promises

$(VENV)/.docs: $(BIN)/clearsight
	$(INSTALL) -e '.[demo,docs]'
	@touch $@

docs: $(VENV)/.docs  ## run the gallery, build the site in build/site, check its links
	$(BIN)/python docs/pages.py
	$(BIN)/python -m mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
