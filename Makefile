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
# With CI=1, dependencies have the versions that were tested last. The tools of the supply chain have their own environment.
DEV := $(if $(CI),-c requirements/lock.txt)
TOOLS := build/tools
UV := $(TOOLS)/bin/uv
COMPILE := $(UV) pip compile --quiet --no-annotate --no-header --python-version 3.11 --all-extras pyproject.toml

.PHONY: demo test test-long test-lowest gallery check bench promises docs lock supply-chain clean

$(BIN)/clearsight: pyproject.toml
	@echo "installing Clearsight and PyTorch into $(VENV): about 6 GB, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml
	@echo "installing Clearsight, PyTorch and what the checks need into $(VENV): about 7 GB, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) $(DEV) -e '.[dev]'
	@touch $(BIN)/clearsight $@

demo: $(BIN)/clearsight  ## install, train on the embedded digits, show where the report is
	$(BIN)/clearsight train digits

test: $(VENV)/.dev  ## run the tests that every commit must pass, in a real browser too
	$(BIN)/python tests/browser.py
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-long: $(VENV)/.dev  ## many seeds, fuzzing, kills, versions: hours; goes on where it was interrupted
	$(BIN)/python tests/browser.py
	$(BIN)/python -m pytest --long -n auto --dist worksteal

test-lowest: $(TOOLS)/.ready  ## the tests with the lowest versions of all dependencies, in an environment of their own
	$(UV) venv --quiet --allow-existing --python $(PYTHON) build/lowest
	$(UV) pip install --quiet --python build/lowest/bin/python -r requirements/lowest.txt
	$(UV) pip install --quiet --python build/lowest/bin/python --no-deps -e .
	build/lowest/bin/python -m pytest -n $(WORKERS) --dist worksteal -W default

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

$(TOOLS)/.ready:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check cyclonedx-bom pip-audit pip-licenses uv
	@touch $@

lock: $(TOOLS)/.ready  ## resolve the dependencies anew: the latest tested versions for CI, the lowest for make test-lowest
	$(COMPILE) --upgrade --universal -c requirements/limits.txt -o requirements/lock.txt
	$(COMPILE) --upgrade --resolution lowest-direct -o requirements/lowest.txt

supply-chain: $(VENV)/.dev $(TOOLS)/.ready  ## build/sbom.json (CycloneDX), build/licences.csv and known vulnerabilities
	$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o build/sbom.json $(BIN)/python
	$(TOOLS)/bin/pip-licenses --python $(BIN)/python --format csv --with-urls --order license --output-file build/licences.csv
	$(PYTHON) tests/vulnerabilities.py $(TOOLS)/bin/pip-audit requirements/lock.txt

$(VENV)/.docs: $(BIN)/clearsight
	$(INSTALL) -e '.[demo,docs]'
	@touch $@

docs: $(VENV)/.docs  ## run the gallery, build the site in build/site, check its links
	$(BIN)/python docs/pages.py
	$(BIN)/python -m mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
