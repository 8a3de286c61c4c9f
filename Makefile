# Everything a developer types. `make` alone lists the targets.
#
# gateway/bootstrap makes what a target needs, once: the checkout's .venv, and shared environments in
# ~/.cache/lmaas (or XDG_CACHE_HOME), such as the vLLM engine. It needs a Python and nothing else.

PYTHON ?= python3
ifneq ($(origin PYTHON),file)
# Named by the user: then the gateway runs in it too, and not in the system's own (gateway/bootstrap/pythons.py).
export LMAAS_PYTHON := $(PYTHON)
endif
HOST ?= 127.0.0.1
PORT ?= 8000
# Model names, separated by spaces; empty: both embedded models.
MODEL ?=
# How long `make soak` takes, and how long `make drill` kills gateways; empty: 30 and 5.
MINUTES ?=
# Further arguments: of `lmaas serve`, of pytest, of the benchmark.
ARGS ?=

BOOTSTRAP := $(PYTHON) gateway/bootstrap
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help serve test pictures check fmt faults soak drill bench docs lock clean dev python

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: python ## Serve models at http://127.0.0.1:8000 [MODEL="NAME …" PORT=8000 HOST=127.0.0.1 ARGS=…]
	@exec $(BOOTSTRAP) serve --host $(HOST) --port $(PORT) -- $(MODEL) $(ARGS)

test: dev ## Run every check and every test, real vLLM included [ARGS="-k NAME"]
	@$(BOOTSTRAP) env engine-cpu >/dev/null
	@$(BOOTSTRAP) browser >/dev/null
	@$(if $(ARGS),$(MAKE) --no-print-directory check)
	@$(BIN)/coverage erase
	@LMAAS_ENGINE__PYTHON="$$($(BOOTSTRAP) env engine-cpu)" LMAAS_TEST_BROWSER="$$($(BOOTSTRAP) browser)" \
		$(BIN)/$(if $(ARGS),coverage run -m pytest $(ARGS),python tests/lanes.py)
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report

pictures: dev ## Drive the pages with a real browser and the real model; writes docs/pictures
	@$(BOOTSTRAP) env engine-cpu >/dev/null
	@LMAAS_ENGINE__PYTHON="$$($(BOOTSTRAP) env engine-cpu)" LMAAS_TEST_BROWSER="$$($(BOOTSTRAP) browser)" \
		LMAAS_TEST_PICTURES=docs/pictures $(BIN)/python -m pytest tests/browser/test_docs_pictures.py $(ARGS)

check: dev ## Check format, lint, types, the layers of imports, and for what attackers like
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive sdk gateway

fmt: dev ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

faults: dev ## Break everything on purpose and check what is promised; writes the table in docs/reliability.md [ARGS="-k NAME"]
	@$(BOOTSTRAP) env engine-cpu >/dev/null
	@LMAAS_ENGINE__PYTHON="$$($(BOOTSTRAP) env engine-cpu)" LMAAS_TEST_FAULTS_PAGE=docs/reliability.md \
		LMAAS_TEST_FAULTS_STEPS=500 $(BIN)/python -m pytest tests/faults $(ARGS)

soak: dev ## Mixed faults at load for a long time: is everything flat at the end? [MINUTES=30]
	@LMAAS_TEST_SOAK_MINUTES=$(or $(MINUTES),30) $(BIN)/python -m pytest -s tests/faults/test_soak.py $(ARGS)

drill: dev ## Race, kill and starve two gateways of one database, and hold their books to the replicas' count [MINUTES=5]
	@LMAAS_TEST_DRILL_MINUTES=$(or $(MINUTES),5) LMAAS_TEST_DRILL_OUTAGE_S=60 \
		$(BIN)/python -m pytest -s tests/drill $(ARGS)

bench: dev ## Measure the gateway and the SDK; writes docs/benchmarks.md [ARGS="--only streams" or --quick]
	@LMAAS_ENGINE__PYTHON="$$($(BOOTSTRAP) env engine)" $(BIN)/python tests/bench/run.py $(ARGS)

docs: dev ## Write the generated documents, such as docs/configuration.md
	$(BIN)/python -m lmaas_gateway.docs
	$(BIN)/python -m lmaas_gateway.watching.dashboard

lock: python ## Write the lock files anew [ARGS=--upgrade takes the newest versions]
	@$(BOOTSTRAP) lock $(ARGS)

clean: ## Remove .venv and what the tools left; shared environments stay in ~/.cache/lmaas
	rm -rf .venv .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find sdk gateway tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

dev: python
	@$(BOOTSTRAP) venv dev >/dev/null

python:
	@command -v $(PYTHON) >/dev/null || { echo "lmaas: there is no $(PYTHON) on PATH; install Python 3.11 or newer (on Debian and Ubuntu: apt-get install python3 python3-venv python3-pip), or name one: make PYTHON=/path/to/python3.11 serve" >&2; exit 2; }
