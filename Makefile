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

# It warns of each exception that it needn't have known of; that is only shown with what it finds. The demo and the tools
# start processes of their own, and draw lots for people who don't exist.
BANDIT = $(PYTHON_HERE) -m bandit --quiet --recursive

.DEFAULT_GOAL := help
.PHONY: help demo test lint audit bench docs clean

help:
	@echo "make demo   the shop, a worker, Redis and a simulated Blueshift; try ARGS=--once or ARGS=--help"
	@echo "make test   the tests; ARGS goes to pytest: make test ARGS='-k retry'"
	@echo "make lint   style, types, unsafe code, import rules and missing migrations"
	@echo "make audit  known vulnerabilities of the packages that are used; needs a network that reaches the service that knows them"
	@echo "make bench  the benchmarks, which need PostgreSQL and Redis; one of them: make bench ARGS=save"
	@echo "make docs   the documentation as a site in var/docs, with its links checked"
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
	@$(BANDIT) blueshift_sync 2>/dev/null || $(BANDIT) blueshift_sync
	@$(BANDIT) --skip B311,B404,B603 project tools 2>/dev/null || $(BANDIT) --skip B311,B404,B603 project tools
	@.venv/bin/lint-imports
	@$(PYTHON_HERE) manage.py makemigrations --check --dry-run

audit:
	$(BOOTSTRAP) dev
	@$(PYTHON_HERE) -m pip install --quiet --requirement requirements/audit.txt
	@$(PYTHON_HERE) tools/audit.py

bench:
	$(BOOTSTRAP) bench
	@exec $(PYTHON_HERE) -m benchmarks $(ARGS)

docs:
	$(BOOTSTRAP) docs
	@exec $(PYTHON_HERE) tools/docs_site.py

clean:
	rm -rf .venv .nox var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
