# Two commands: `make repro` runs the benchmark, `make test` runs the tests. Each sets up .venv first.
PYTHON ?= python3
READY := .venv/.ready
DOCS := .venv/.docs

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: help setup repro test check docs lock soak

help:
	@echo "make repro   set up and run the benchmark of params.yaml; prints the leaderboard"
	@echo "make test    set up and run the tests"
	@echo "make setup   set up .venv and do nothing else"
	@echo "make check   lint and type-check"
	@echo "make docs    build the documentation in site/; open site/index.html"
	@echo "make soak    kill, damage and mistake at random for an hour; prints what survived"
	@echo "make lock    pin the newest allowed versions anew"

setup: $(READY)

repro: $(READY)
	python -m benchmark check
	test -e .git || dvc config --quiet --local core.no_scm true
	dvc repro
	python -m benchmark show

test: $(READY) $(DOCS) check
	python -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: $(READY)
	ruff check . && ruff format --check . && mypy benchmark methods datasets

soak: $(READY)
	PYTHONPATH=.:tests python -m helpers.soak

docs: $(READY) $(DOCS)
	python -m benchmark.documentation.reference
	sphinx-build --fail-on-warning --keep-going --quiet docs site
	@echo "open site/index.html"

# RecBole goes in without its dependencies: its pin of ray has no wheel for Python 3.12 and later.
$(READY): requirements.lock
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; name it: make PYTHON=python3.12')"
	test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	python -m pip install --quiet --disable-pip-version-check --no-deps recbole==1.2.1
	touch $@

# Only the documentation needs these, and the test that builds it.
$(DOCS): requirements-docs.lock $(READY)
	python -m pip install --quiet --disable-pip-version-check -r requirements-docs.lock
	touch $@

# CUDA packages are left to torch itself, which pins them exactly where its build needs them.
lock: $(READY)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --fork-strategy fewest \
	  --upgrade --no-header --no-annotate --no-emit-index-url --quiet \
	  | grep -vE '^(cuda|nvidia|triton)' > requirements.lock
	grep -v '^colorama' requirements.lock | uv pip compile --group docs --constraint - --universal --python-version 3.11 \
	  --fork-strategy fewest --upgrade --no-header --no-annotate --no-emit-index-url --quiet | sort > requirements-docs.lock
