# Two commands: `make repro` runs the benchmark, `make test` runs the tests. Each sets up .venv first.
PYTHON ?= python3
READY := .venv/.ready
DOCS := .venv/.docs
MUTANTS := .venv/.mutants
PIP := python -m pip install --quiet --disable-pip-version-check --no-compile
LOCKED := $(PIP) --no-deps --require-hashes -r
# One version of PyTorch has several builds, for CPUs and for each CUDA, whose hashes differ: the one that pip
# finds first is taken. To take the package index's alone, by its hashes and those of what it needs for CUDA:
# make setup TORCH='--no-deps --require-hashes -r requirements-torch.lock'
TORCH ?= $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements-torch.lock)

# What pip would compile on one core, on all of them, without the packages' own tests.
COMPILED := python -m compileall -qq -j 0 -x '/tests?/' .venv/lib || true

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: help setup repro smoke test suite check docs lock soak mutants audit

help:
	@echo "make repro   set up and run the benchmark of params.yaml; prints the leaderboard"
	@echo "make smoke   run the same on a small setting in a minute; leaves build/smoke/ alone"
	@echo "make test    set up and run the tests"
	@echo "make setup   set up .venv and do nothing else"
	@echo "make check   lint and type-check"
	@echo "make docs    build the documentation in site/; open site/index.html"
	@echo "make soak    kill, damage and mistake at random for an hour; prints what survived"
	@echo "make mutants MODULE=benchmark/training/losses.py   plant mistakes in it; prints what no test finds"
	@echo "make audit   ask which locked packages have known vulnerabilities"
	@echo "make lock    pin the newest allowed versions anew"

setup: $(READY)

repro: $(READY)
	python -m benchmark check
	test -e .git || dvc config --quiet --local core.no_scm true
	dvc repro
	python -m benchmark show

smoke: $(READY)
	rm -rf build/smoke
	python -m benchmark try --keep build/smoke

# Types are checked on one core: the tests, and what they need, do not wait for it.
test: $(READY)
	@$(MAKE) --no-print-directory --jobs check suite

# Processes that tests start read what the first of them has compiled, whatever the shell says.
suite: export PYTHONDONTWRITEBYTECODE :=
suite: $(READY) $(DOCS)
	python -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: $(READY)
	ruff check . && ruff format --check . && mypy benchmark methods datasets speed

soak: $(READY)
	PYTHONPATH=.:tests python -m helpers.soak

# Plants mistakes in a module: make mutants MODULE=benchmark/training/losses.py ARGUMENTS='--sample 60'
mutants: $(MUTANTS)
	PYTHONPATH=.:tests python -m helpers.mutants $(MODULE) $(ARGUMENTS)

audit: $(READY)
	PYTHONPATH=.:tests python -m helpers.audit

docs: $(READY) $(DOCS)
	python -m benchmark.documentation.reference
	sphinx-build --fail-on-warning --keep-going --quiet docs site
	@echo "open site/index.html"

$(READY): requirements.lock requirements-torch.lock
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; name it: make PYTHON=python3.12')"
	test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	$(LOCKED) requirements.lock
	($(COMPILED)) & $(PIP) $(TORCH) && wait
	$(COMPILED)
	touch $@

# Only the documentation needs these, and the test that builds it.
$(DOCS): requirements-docs.lock $(READY)
	$(LOCKED) requirements-docs.lock
	$(COMPILED)
	touch $@

# Only mutants need these.
$(MUTANTS): requirements-mutants.lock $(READY)
	$(LOCKED) requirements-mutants.lock
	touch $@

# RecBole goes in without its dependencies: its pin of ray has no wheel for Python 3.12 and later.
COMPILE := uv pip compile --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --upgrade \
  --no-header --no-annotate --no-emit-index-url --quiet
lock: $(READY)
	{ $(COMPILE) pyproject.toml --group dev && echo recbole==1.2.1 | $(COMPILE) --no-deps -; } > .venv/lock
	awk '/^[^ ]/ { own = /^(torch=|triton|nvidia|cuda)/ } !own' .venv/lock > requirements.lock
	awk '/^[^ ]/ { own = /^(torch=|triton|nvidia|cuda)/ } own' .venv/lock > requirements-torch.lock
	sed -n '/^colorama/d; /^[^ ]/s/ .$$//p' requirements.lock | $(COMPILE) --group docs --constraint - \
	  > .venv/lock && mv .venv/lock requirements-docs.lock
	sed -n '/^colorama/d; /^[^ ]/s/ .$$//p' requirements.lock | $(COMPILE) --group mutants --constraint - \
	  > .venv/lock && mv .venv/lock requirements-mutants.lock
