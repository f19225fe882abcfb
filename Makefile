PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
NPM := $(or $(shell command -v npm),$(BIN)/npm)
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"

HTMX_FILES := dist/htmx.min.js dist/ext/hx-csp.min.js dist/ext/hx-ws.min.js LICENSE
VENDOR := $(addprefix static/vendor/,$(notdir $(HTMX_FILES)))
RUNTIME := $(VENV)/.runtime $(VENDOR)
DEV := $(RUNTIME) $(VENV)/.dev node_modules/.dev
BENCH := $(RUNTIME) $(VENV)/.bench

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run dev install install-dev test soak prove bench compiler audit check format snapshots screenshots lock clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: install ## Install what is missing and start Parlor (PORT and PARLOR_* configure it)
	@exec $(BIN)/python -m app serve

dev: install-dev ## Like run, and restart whenever a source file changes
	@exec $(BIN)/python -m app serve --reload

install: $(RUNTIME) ## Install what running needs, and start nothing

install-dev: $(DEV) ## Install what checks and tests need, too

test: install-dev ## Run the tests (ARGS="-k name" is passed to pytest)
	@scripts/install-test-tools $(BIN)/python
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile $(ARGS)

soak: install-dev ## Try the guarantees at full size, for up to half an hour (ARGS="drops kill" tries these, ARGS=cluster several processes)
	@scripts/install-test-tools $(BIN)/python
	@$(BIN)/python -m tests.guarantees $(ARGS)

prove: install-dev ## Take out each mechanism that a test watches, and see the test fail (ARGS="-k name", ARGS=--changed for the files of a change)
	@$(BIN)/python scripts/prove.py $(ARGS)

bench: compiler $(BENCH) bench/node_modules/.installed ## Measure Parlor beside its alternatives, in 50 minutes (ARGS="broadcast" for one scenario)
	@$(MAKE) --no-print-directory -C bench
	@$(BIN)/python -m bench $(ARGS)

# What the load client is built with; asked for before anything is downloaded.
compiler:
	@command -v gcc >/dev/null || { echo 'make bench needs gcc; on Debian: apt-get install gcc libc6-dev' >&2; exit 1; }
	@echo '#include <zlib.h>' | gcc -E - >/dev/null 2>&1 || { \
		echo "make bench needs zlib's headers; on Debian: apt-get install zlib1g-dev" >&2; exit 1; }

audit: install ## Ask the registries for known weaknesses of what we build on
	@$(PYTHON) -m venv .audit && .audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	@.audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock
	@$(NPM) audit

check: install-dev ## Lint, check the formatting and the types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: install-dev ## Format the source and mend what the linter can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

snapshots: install-dev ## Rewrite the snapshots that tests compare with
	@$(BIN)/python -m pytest --snapshot-update $(ARGS)

screenshots: install-dev ## Take the pictures of the documentation anew
	@$(BIN)/python scripts/screenshots.py

lock: $(BIN)/pip $(NPM) ## Rewrite the lock files (ARGS=--upgrade takes the newest versions)
	@$(PIP_INSTALL) uv
	@$(UV_COMPILE) $(ARGS) pyproject.toml -o requirements.lock
	@$(UV_COMPILE) $(ARGS) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	@$(UV_COMPILE) $(ARGS) pyproject.toml --group bench -c requirements.lock -o requirements-bench.lock
	@$(UV_COMPILE) $(ARGS) --group node -o requirements-node.lock
	@$(NPM) install --package-lock-only --loglevel=error >/dev/null
	@$(NPM) install --prefix bench --package-lock-only --loglevel=error >/dev/null

clean: ## Remove everything that make installed; data/ stays
	@rm -rf $(VENV) .audit node_modules bench/build bench/node_modules static/vendor .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +

# pip is the last thing that venv makes: where it stands, the environment is whole.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Parlor needs Python 3.11 or newer; to choose one: make PYTHON=python3.12 …' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock $(BIN)/pip
	@echo 'Installing Python packages …'
	@$(PIP_INSTALL) --require-hashes -r $<
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo 'Installing Python packages for development …'
	@$(PIP_INSTALL) --require-hashes -r $<
	@touch $@

$(VENV)/.bench: requirements-bench.lock $(VENV)/.runtime
	@echo 'Installing Python packages for the benchmark …'
	@$(PIP_INSTALL) --require-hashes -r $<
	@touch $@

# Only where there is no npm on the PATH.
$(BIN)/npm: requirements-node.lock $(BIN)/pip
	@echo 'Installing npm …'
	@$(PIP_INSTALL) --require-hashes -r $<
	@touch $@

node_modules/.runtime: package-lock.json | $(NPM)
	@echo 'Installing htmx …'
	@$(NPM) ci --omit=dev --loglevel=error >/dev/null
	@touch $@

# npm ci empties node_modules first.
node_modules/.dev: node_modules/.runtime
	@echo 'Installing browser packages for development …'
	@$(NPM) ci --include=dev --loglevel=error >/dev/null
	@touch node_modules/.runtime $@

bench/node_modules/.installed: bench/package-lock.json | $(NPM)
	@echo 'Installing the servers in JavaScript …'
	@$(NPM) ci --prefix bench --loglevel=error >/dev/null
	@touch $@

$(VENDOR): node_modules/.runtime
	@mkdir -p static/vendor
	@cp $(addprefix node_modules/htmx.org/,$(HTMX_FILES)) static/vendor
