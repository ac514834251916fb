# Two commands on a fresh machine: `make demo` and `make test`. Each makes .venv first.
# test-recovery kills, freezes and damages real runs (seven minutes), test-faults does so at random moments too (twenty).
# PYTHON chooses the interpreter (3.11 or newer); EXTRAS=dev,bench also installs the PyTorch peers.
PYTHON ?= $(shell for v in 3.11 3.12 3.13 3; do p=$$(command -v python$$v) && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
EXTRAS ?= dev
VENV ?= .venv
# Commands and tests are many processes: each would compile all modules that it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-recovery test-faults test-long
$(VENV)/.$(EXTRAS): setup.py
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed and was not found; name one with PYTHON=..."; exit 64; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@

demo: $(VENV)/.$(EXTRAS)
	$(VENV)/bin/python launch/demo.py

test: $(VENV)/.$(EXTRAS)
	$(VENV)/bin/python -m pytest tests -q -n 3 --dist loadfile --durations=10 --ignore=tests/recovery

test-recovery: $(VENV)/.$(EXTRAS)
	$(VENV)/bin/python -m pytest tests/recovery -q --durations=10

test-faults: $(VENV)/.$(EXTRAS)
	$(VENV)/bin/python -m pytest tests/recovery -q --long --durations=10

test-long: $(VENV)/.$(EXTRAS)
	$(VENV)/bin/python -m pytest tests -q -m long --long --ignore=tests/recovery
