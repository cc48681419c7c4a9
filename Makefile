# `make demo` and `make test` set themselves up; nothing but Python 3.11, git and a network for PyPI is needed.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready

.PHONY: help demo test slow many lint format bench docs clean

help: ## Show what there is to make
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile

$(READY): setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "vrt needs Python 3.11 or later; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY) ## Play the main job on made-up mail, in a new desk that stays
	@$(RUN) demo/play.py

test: $(READY) ## Run all tests (those that take minutes excepted: make slow)
	@$(RUN) -m pytest -n auto -m "not slow" $(ARGS)

slow: $(READY) ## Run the long forms of the crash, forgery and secrecy tests
	@$(RUN) -m pytest -m slow $(ARGS)

many: $(READY) ## Let 20 agents work at once while plugs are pulled, and any step fail (ARGS=--ssh: through a real sshd)
	@$(RUN) tests/many.py $(ARGS)
	@$(RUN) -m pytest -m slow tests/test_many.py -k any_step

lint: $(READY) ## Check style, types, and that the generated docs are true
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(RUN) -m mypy --strict demo/play.py
	@$(RUN) docs/generate.py --check

format: $(READY) ## Format the code
	@$(RUN) -m ruff check --fix --quiet . ; $(RUN) -m ruff format .

bench: $(READY) ## Measure against the budgets; writes bench/RESULTS.md (ARGS=--quick for a look)
	@$(RUN) bench/run.py $(ARGS)

docs: $(READY) ## Write docs/CLI.md and the tables of docs/FORMAT.md
	@$(RUN) docs/generate.py

clean: ## Remove what was made here
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
