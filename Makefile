# make demo       set up .venv and run the main job on the embedded demo
# make test       set up .venv and pass the unit and integration tests
# make test-slow  the rest: whole runs, kills, an old workspace, the wheel in a clean venv, pages in a browser
# make test-servers  what stores promise, on PostgreSQL, which has to be here, and on the S3 server at TEST_S3_ENDPOINT (AWS_* hold its keys)
# make check      linters, types, layers, generated files
# make docs       write the reference anew and build the site into build/docs
# make screenshots  every page as people see it: three widths, light and dark, from a small run made for it (needs Chromium)
# make bench      measure; numbers go to stdout
# make lock       resolve requirements.lock anew, keeping the pins that still fit
# make clean      remove .venv and caches; artifacts/, state/ and data/ stay
#
# TORCH chooses the build of torch, and is remembered in .venv:
#   make demo TORCH="torch==2.13.0 --index-url <the index of that build>"

SHELL      := /bin/sh
BIN        := .venv/bin
INSTALLED  := .venv/.installed
TORCH      ?= $(or $(shell cat .venv/.torch 2>/dev/null),torch==2.13.0)
SUPPORTED  := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
# A pyenv shim exists for versions that are not active, so a candidate has to answer. 3.11 first: it is what was tried.
PYTHON     ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
                $$p -c "$(SUPPORTED)" 2>/dev/null && echo $$p && break; done)
# pip compiles 24,000 files one after the other, 75 s: `compileall` takes all cores. Some bring
# templates that are no Python, which fails nothing. COMPILE= leaves it to whoever imports.
PIP        := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-compile
COMPILE    ?= -m compileall -q -q -j 0 .venv/lib
# The longer ones first, so that no worker idles at the end.
TESTS      ?= tests/integration tests/unit
# One worker a core, whole files to a worker: fixtures of a module run once. WORKERS=0 for a debugger.
WORKERS    ?= auto
PYTEST     ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-servers check docs screenshots bench lock clean FORCE

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

install: $(INSTALLED)

# The stamp is written last, so an interrupted install is done again; pip skips what it had finished.
# pip's hash mode is all or nothing and torch differs from machine to machine: hence three commands.
$(INSTALLED): requirements.lock pyproject.toml $(if $(filter-out $(shell cat .venv/.torch 2>/dev/null),$(TORCH)),FORCE)
	@test -n "$(PYTHON)" || { echo "regraft needs Python 3.11, 3.12 or 3.13, and none is on PATH; or say: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@rm -f $@
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "creating .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv --clear .venv; }
	@$(PIP) "pip>=24"
	@echo "installing $(TORCH) (1 of 3; all packages take 2.4 GB)"
	@$(PIP) $(TORCH)
	@echo "installing requirements.lock (2 of 3)"
	@$(PIP) --no-deps --require-hashes -r requirements.lock
	@echo "installing regraft (3 of 3)"
	@$(PIP) --no-deps --no-build-isolation -e .
	@$(if $(COMPILE),echo "compiling on all cores"; $(BIN)/python $(COMPILE) || true)
	@echo "$(TORCH)" > .venv/.torch
	@touch $@

data/demo/labelled: | $(INSTALLED)
	@$(BIN)/python -m regraft.upkeep.demo data/demo

demo: $(INSTALLED) | data/demo/labelled
	@$(BIN)/regraft run demo

test: $(INSTALLED)
	@$(BIN)/python -m pytest $(TESTS) -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST)

test-slow:
	@$(MAKE) test TESTS=tests/e2e

test-servers:
	@REQUIRE_POSTGRESQL=1 $(MAKE) test TESTS="tests/integration/stores_test.py tests/integration/journal_race_test.py \
	    tests/integration/registry_promotion_test.py::test_killed_at_any_of_its_writes_to_a_shared_store_the_next_command_in_another_clone_completes_it"

check: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --config pyproject.toml
	@$(BIN)/mypy
	@$(BIN)/mypy benchmarks/*.py
	@$(BIN)/regraft dvc --check

# An environment of its own: nothing of the site belongs into the one that trains.
DOCS := $(shell sed -n 's/^docs = \[\(.*\)\]/\1/p' pyproject.toml | tr -d ',"')
build/docsenv/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "make docs needs Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@$(PYTHON) -m venv --clear build/docsenv
	@build/docsenv/bin/python -m pip install --quiet --disable-pip-version-check --no-input $(DOCS)
	@touch $@

docs: $(INSTALLED) build/docsenv/.installed
	@$(BIN)/python docs/reference.py
	@build/docsenv/bin/sphinx-build -q -W -b html docs build/docs
	@echo "build/docs/index.html"

screenshots: $(INSTALLED)
	@$(BIN)/python tests/screenshots.py build/screenshots

bench: $(INSTALLED)
	@for f in benchmarks/*.py; do echo "== $$f"; $(BIN)/python $$f || exit 1; done

# torch and what only its CUDA builds need are left out: the Makefile installs the build that fits the machine first.
lock:
	@test -n "$(PYTHON)" || { echo "make lock needs Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@$(PYTHON) -m venv --clear build/uv && build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@cp requirements.lock build/requirements.lock
	@build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --extra demo --extra lora --extra postgres --extra s3 --extra dev --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	    --prerelease=if-necessary-or-explicit --output-file build/requirements.lock pyproject.toml
	@awk '/^[a-z0-9]/ { keep = !/^(torch|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)==/ } keep' build/requirements.lock > build/kept.lock
	@mv build/kept.lock requirements.lock
	@echo "requirements.lock: $$(grep -c '^[a-z]' requirements.lock) pins"

clean:
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
