# The first of these that runs and is new enough makes .venv, unless PYTHON names another.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$python"; break; }; done)
endif
ifeq ($(PYTHON),)
PYTHON := python3
endif

BOOTSTRAP = @command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	echo "This needs Python 3.11 or newer, and '$(PYTHON)' is not here. Install it, or name yours: make $@ PYTHON=/path/to/python3" >&2; \
	exit 1; }; "$(PYTHON)" tools/bootstrap.py
PYTHON_HERE = .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench clean

help:
	@echo "make demo   the shop, a worker, Redis and a simulated Blueshift; try ARGS=--once or ARGS=--help"
	@echo "make test   the tests; ARGS goes to pytest: make test ARGS='-k retry'"
	@echo "make lint   style, types, import rules and missing migrations"
	@echo "make bench  the benchmarks, which need PostgreSQL and Redis; one of them: make bench ARGS=save"
	@echo "make clean  removes .venv, var and whatever else these commands made"

demo:
	$(BOOTSTRAP) demo
	@exec $(PYTHON_HERE) -m project.demo $(ARGS)

test:
	$(BOOTSTRAP) dev
	@exec $(PYTHON_HERE) -m pytest -n auto --dist worksteal $(ARGS)

lint:
	$(BOOTSTRAP) dev
	@$(PYTHON_HERE) -m ruff check
	@$(PYTHON_HERE) -m ruff format --check
	@$(PYTHON_HERE) -m mypy
	@.venv/bin/lint-imports
	@$(PYTHON_HERE) manage.py makemigrations --check --dry-run

bench:
	$(BOOTSTRAP) bench
	@exec $(PYTHON_HERE) -m benchmarks $(ARGS)

clean:
	rm -rf .venv var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
