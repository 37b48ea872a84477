# One command each; the same in CI. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: docs reference help setup demo test test-quick lint format conformance mutants bench bench-pairs bench-100m fuzz faults lock clean
SHELL := /bin/bash

# PYTHON=python3.13 (or a path) chooses the interpreter; each has a virtual environment of its own.
bin := .venv$(if $(PYTHON),-$(notdir $(PYTHON)))/bin
export PYTHON
typed := $(wildcard src tests bench)
# Each is a program without a suffix, so mypy checks one at a time.
checks := $(wildcard scripts/check-*)
# Three workers for two cores, because many tests wait for processes; those of one file stay together, because they share what they
# started; slow folders first (tests/conftest.py). ARGS may say otherwise: ARGS="-n 0".
pytest := $(bin)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
# Of these `make test` plays a sample, and `make faults` the whole (tests/support/thorough.py).
thorough := tests/faults tests/contract tests/e2e tests/integration/folders \
	tests/integration/slm/test_deb_beside.py tests/integration/web/test_big_upload.py

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv with the program and the tools (quick when nothing changed)
	@scripts/setup

demo: setup ## Run the whole system doing its main job; ARGS="--once" ends when it is done
	@scripts/setup --system bubblewrap || echo "demo: without bubblewrap, packages with maintainer scripts are refused"
	$(bin)/sota demo $(ARGS)

test: setup ## Run every test, on SQLite and on MariaDB; ARGS="-k campaign" for some of them, PYTHON=python3.13 for another Python
	@scripts/setup --system mariadb-server rauc swupdate bubblewrap faketime
	$(pytest) $(ARGS)

test-quick: setup ## Run the product's unit tests in about a minute: no slow ones, no MariaDB
	$(bin)/python -m pytest -n 2 --dist loadfile -m "not slow" -k "not mariadb" --ignore tests/unit/tooling tests/unit $(ARGS)

lint: setup ## Check format, style, types, imports, words, and members that are private to other packages
	$(bin)/ruff format --check
	$(bin)/ruff check
	$(bin)/mypy $(typed)
	$(bin)/lint-imports --no-logo
	@set -e; for check in $(checks); do $(bin)/mypy $$check; $(bin)/python $$check; done

format: setup ## Put the code into its format and mend what can be mended
	$(bin)/ruff format
	$(bin)/ruff check --fix

conformance: setup ## Hold the running system against the whitelist, outcome by outcome
	@scripts/setup --system mariadb-server
	$(bin)/python -m tests.conformance $(ARGS)

mutants: setup ## Make the table wrong, outcome by outcome, and see that a test notices
	$(bin)/python -m tests.mutants $(ARGS)

bench: setup ## Measure, print a table and write bench/results; ONLY=name for one
	@scripts/setup --system mariadb-server wrk
	$(bin)/python -m bench $(ONLY)

bench-pairs: setup ## Measure a revision and this tree in turns: make bench-pairs BASE=HEAD~20 ONLY=transfer
	@scripts/setup --system mariadb-server wrk
	$(bin)/python -m bench.pairs $(BASE) $(ONLY) $(ARGS)

bench-100m: setup ## Measure the Resolver's index at a hundred million vehicles; needs 16 GB of memory
	$(bin)/python -m bench index_100m

fuzz: setup ## Give every property test many more examples than `make test` does
	$(bin)/python -m pytest -m hypothesis --hypothesis-profile=fuzz -o faulthandler_timeout=1800 $(ARGS)

faults: setup ## Kill and cut programs in the middle of their work: everything of which `make test` plays a sample
	@scripts/setup --system mariadb-server rauc swupdate bubblewrap mmdebstrap faketime
	THOROUGH=1 $(bin)/python -m pytest -s $(thorough) $(ARGS)

docs: setup ## Render all documents to a site in dist/docs
	$(bin)/python -m scripts.docs site

reference: setup ## Write the pages of docs/reference that are made from code
	$(bin)/python -m scripts.docs reference

lock: setup ## Make requirements/*.lock again; ARGS="--upgrade" for the newest allowed versions
	scripts/lock $(ARGS)
	scripts/setup

clean: ## Remove what was made: .venv, caches, builds (var/, with its databases, stays)
	rm -rf .venv .venv-* dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
