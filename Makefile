# Two commands matter: `make demo` (try it) and `make test` (prove it). Both set up what they need in .venv.
# The first that really runs and is new enough: a name on the PATH may be a stand-in for a version that is not there.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Real servers are waited for more than they compute: a third worker on two cores is not idle.
WORKERS ?= 3

.PHONY: demo test again check servers failover setup dev clean

# The console needs the package alone; tests and checks need the dev group too.
$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "safeconsole needs Python 3.11 or newer; say which with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up $(VENV) (once)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@# Where PYTHONDONTWRITEBYTECODE is set, as in many containers, every start would compile the program anew.
	@$(BIN)/python -m compileall -q safeconsole
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	@echo "adding the tools for tests and checks to $(VENV) (once)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
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
# What `check` has run is not run again.
test: check
	@$(BIN)/python -m safeconsole.demo.binaries mariadb mysql || true
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore tests/architecture

# What failed in the run before, alone and without workers: it tells a fault from a machine that was too busy.
again: $(VENV)/.developed
	@$(BIN)/python -m pytest -p no:xdist --last-failed --last-failed-no-failures none

# The table in docs/routing.md: real failovers under a console and an application's pool, both flavours, about ten minutes.
failover: $(VENV)/.developed
	@$(BIN)/python -m pytest -q -s -p no:cacheprovider tests/servers/test_failover.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
