# voxdata: `make demo` and `make test` are all one needs; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-fast coverage check bench bench-prelabel bench-training bench-warehouse lock hashes clean system

PYTHON ?= python3
DEMO_DIR ?= voxdata-demo
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements.lock 2>/dev/null)

# A custom bundle of certificates that pip was given is passed on to uv.
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif
export UV_HTTP_TIMEOUT ?= 180

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: $(STAMP) ## run the whole loop on the sample recordings
	$(BIN)/voxdata demo --dir "$(DEMO_DIR)"

# A file stays on one worker, so that its tests share their servers; four workers fill 16 GB.
PYTEST_ARGS ?= -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(STAMP) ## run every test (PYTEST_ARGS chooses others, or other options of pytest)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-fast: $(STAMP) ## run the tests that need no server, browser or weights, with fewer drawn examples
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m "not slow" --hypothesis-profile quick

coverage: $(STAMP) ## run every test and count lines and branches (pyproject.toml has the floor; none is set yet)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: $(STAMP) ## lint, format, types, import contracts, documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/docs

bench-prelabel: $(STAMP) ## pre-labelling beside its peers: chain, diarization, transcription, memory (BENCH_ARGS passes options)
	$(BIN)/python -m benchmarks.prelabel $(BENCH_ARGS)

bench-training: $(STAMP) ## recipes of the emotion head beside the one before, voices held out (BENCH_ARGS="--work DIR" keeps the features)
	$(BIN)/python -m benchmarks.recipes $(BENCH_ARGS)

bench-warehouse: $(STAMP) ## versions of 1 and 10 million utterances beside four peers, 100 kills, 8 writers, splits (30 minutes, 8 GB of memory)
	$(BIN)/python -m benchmarks.versions $(BENCH_ARGS)
	$(BIN)/python -m benchmarks.warehouse_kills
	$(BIN)/python -m benchmarks.warehouse_writers
	$(BIN)/python -m benchmarks.splits

bench: $(STAMP) ## run the benchmarks (VOXDATA_CORPORA names the corpora)
	$(BIN)/python -m benchmarks

lock: $(STAMP) ## resolve pyproject.toml into requirements.lock, keeping what fits (LOCK_ARGS=--upgrade renews all)
	cp requirements.lock $(VENV)/resolved.txt
	$(BIN)/uv pip compile pyproject.toml --extra cluster --group dev --python-version 3.11 --universal --quiet $(LOCK_ARGS) \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links -o $(VENV)/resolved.txt
	sed -E "/sys_platform == '(win32|emscripten)'/d; /python_full_version >= '3\.14'/d; s/ ; (sys_platform != 'emscripten'|python_full_version < '3\.14'|(platform_python_)?implementation(_name)? [!=]= '(PyPy|CPython)')$$//" \
	  $(VENV)/resolved.txt > requirements.lock
	@$(MAKE) --no-print-directory hashes

# Of all files of a version, since each platform gets another; from name==version lines alone, so that new ones may be added by hand.
hashes: ## give every line of both locks its hashes again; versions stay (after adding a name==version line by hand)
	@[ -x $(BIN)/uv ] || { echo "voxdata: $(BIN)/uv is missing; run make test once" >&2; exit 2; }
	@for lock in requirements.lock annotation/label-studio.lock; do \
	  sed -nE 's/^([^ ]+==[^\\]*[^\\ ]) *\\?$$/\1/p' $$lock > $(VENV)/versions.txt; \
	  $(BIN)/uv pip compile $(VENV)/versions.txt --no-deps --generate-hashes --python-version 3.11 --universal --quiet \
	    --no-annotate --no-header --no-emit-index-url --no-emit-find-links -o $(VENV)/hashed.txt; \
	  sed -nE 's/^([^ ]+==[^\\]*[^\\ ]) *\\?$$/\1/p' $(VENV)/hashed.txt | diff $(VENV)/versions.txt - \
	    || { echo "voxdata: hashing would change versions; $$lock stays as it is" >&2; exit 1; }; \
	  cp $(VENV)/hashed.txt $$lock; \
	done

clean: ## remove the environment and caches; workspaces stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything is compiled once: a command starts in half the time, also where Python may not write bytecode itself.
$(STAMP): requirements.lock pyproject.toml | system
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "voxdata needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; exit 2; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || { \
	  echo "voxdata: $(PYTHON) cannot make a virtual environment; on Debian install python3-venv" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@echo "voxdata: installing $$(grep -c == requirements.lock) packages into $(VENV) (some GB; a few minutes)"
	@awk '/^[^ ]/ { keep = /^uv==/ } keep' requirements.lock > $(VENV)/uv.txt
	@awk '/^[^ ]/ { keep = !/^uv==/ } keep' requirements.lock > $(VENV)/without-uv.txt
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt; then \
	  $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes --no-deps -r requirements.lock; \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .; \
	else \
	  echo "voxdata: uv $(UV_VERSION) cannot be installed; going on with pip" >&2; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/without-uv.txt; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .; \
	fi
	@$(BIN)/python -m compileall -q voxdata annotation training warehouse flows
	@touch $@

# System packages that pip cannot bring: decoders, acoustic fingerprints, a browser for the page tests, and a font with Chinese.
system:
	@missing=""; \
	command -v ffmpeg >/dev/null || missing="$$missing ffmpeg"; \
	ldconfig -p 2>/dev/null | grep libchromaprint >/dev/null || { [ "$$(uname)" = Darwin ] || missing="$$missing libchromaprint1"; }; \
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing="$$missing chromium"; \
	if command -v dpkg >/dev/null; then dpkg -s fonts-noto-cjk >/dev/null 2>&1 || missing="$$missing fonts-noto-cjk"; fi; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then \
	    echo "voxdata: installing system packages:$$missing"; \
	    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing; } >/dev/null 2>&1 \
	      || echo "voxdata: apt-get could not install:$$missing; install them by hand (decoding or page tests may fail)" >&2; \
	  else \
	    echo "voxdata: please install these system packages:$$missing (Debian: sudo apt-get install$$missing)" >&2; \
	  fi; \
	fi
