# Two commands matter: `make demo` (try it) and `make test` (prove it). Both set up what they need in .venv.
PYTHON ?= $(shell command -v python3.13 || command -v python3.12 || command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test check servers setup dev clean

# The console needs the package alone; tests and checks need the dev group too.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "safeconsole needs Python 3.11 or newer; say which with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up $(VENV) (once)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	@echo "adding the tools for tests and checks to $(VENV) (once)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

setup: $(VENV)/.installed
dev: $(VENV)/.developed

demo: $(VENV)/.installed
	@$(BIN)/safeconsole demo

check: $(VENV)/.developed
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -q tests/architecture

servers: $(VENV)/.installed
	@$(BIN)/python -m safeconsole.demo.binaries mariadb mysql

# Without server binaries the server tests skip with one loud line; SAFECONSOLE_REQUIRE_SERVERS=1 makes that a failure.
test: check
	@$(BIN)/python -m safeconsole.demo.binaries mariadb mysql || true
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
