# Every target makes what it needs; `make help` lists them.
PYTHON ?= python3
# Where your registry serves CUDA builds of torch by default, a CPU-only one is smaller:
#   make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The peers' own environment; what to measure: make bench BENCH_ARGS='--only W3 --rounds 5'
BENCH := .venv-bench
# The package of GLiNER models alone, for their tests.
GLINER := .venv-gliner
# Linters of what is deployed, and engines that serve tasks: beside what is pinned, which they go with.
DEPLOY := .venv-deploy
ENGINES := .venv-engines
# Where `make constraints` finds out which versions fit together.
PINS := .venv-pins
TORCH ?= $(shell sed -n 's/^torch==//p' constraints.txt)
BENCH_ARGS ?=
# One setting, or words for pytest: make test-portable PORTABLE_ARGS='--only amd -- tests/service'
PORTABLE_ARGS ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help quickstart test test-slow test-gliner test-deploy test-engines test-portable test-exact coverage lint format docs gallery bench attack constraints clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

quickstart: $(READY) ## meta-train, test and adapt on embedded data: some three minutes
	$(BIN)/innerloop quickstart

test: $(READY) ## the tests, without the slow ones
	$(BIN)/python -m pytest -n 2

test-slow: $(READY) ## the slow tests: short trainings, kill -9, real data where it is at hand
	$(BIN)/python -m pytest -n 2 -m slow --durations=15

test-gliner: $(READY) ## loading of GLiNER models, whose package does not allow the pinned transformers, and runs with it
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(GLINER) 'gliner>=0.2.29'
	PYTHONPATH=$(GLINER) $(BIN)/python -m pytest -n 0 tests/encoders/test_gliner.py

test-deploy: $(DEPLOY)/.ready ## Dockerfile, compose file and Helm chart by their linters, and one recipe for another engine
	PATH="$(CURDIR)/$(DEPLOY)/bin:$$PATH" PYTHONPATH="$(CURDIR)/$(DEPLOY)" $(BIN)/python -m pytest -n 0 -m 'slow or not slow' tests/deploy

$(DEPLOY)/.ready: $(READY) tests/deploy/requirements.txt
	$(PIP) --no-deps --upgrade --target $(DEPLOY) -r tests/deploy/requirements.txt
	@touch $@

test-engines: $(READY) ## the recipes for BentoML, LitServe and Ray Serve, which bring 300 MB
	$(PIP) --target $(ENGINES) bentoml litserve 'ray[serve]'
	PYTHONPATH="$(CURDIR)/$(ENGINES)" $(BIN)/python -m pytest -n 0 -m slow tests/deploy/test_engines.py

test-portable: $(READY) ## the tests as other processors and more threads would run them: most of an hour
	$(BIN)/python -m tests.portable $(PORTABLE_ARGS)

test-exact: $(READY) ## those that compare to the bit, under a few such settings: three minutes
	$(BIN)/python -m tests.portable --exact

coverage: $(READY) ## the tests, and which lines of the package they run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pytest-cov>=5'
	$(BIN)/python -m pytest -n 2 --cov=innerloop --cov-report=term:skip-covered

lint: $(READY) ## style, types, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/codespell src tests docs benchmarks README.md CHANGELOG.md CONTRIBUTING.md

format: $(READY) ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet

gallery: $(READY) ## draw the pictures of docs/gallery.md anew: a minute or two
	$(BIN)/python -m tests.docs.gallery

bench: $(BENCH)/.ready ## measure us against the peers: some 25 minutes on an idle machine; rewrites benchmarks/RESULTS.md
	$(BENCH)/bin/python -m benchmarks $(BENCH_ARGS)

attack: $(READY) ## what a bystander notices while a server is attacked: some four minutes; rewrites benchmarks/attack.json
	$(BIN)/python -m benchmarks.attack

constraints: ## pin anew: the newest packages that fit together, with torch as it is pinned or TORCH=2.14.0
	rm -rf $(PINS)
	$(PYTHON) -m venv $(PINS)
	$(PINS)/bin/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==$(TORCH)
	$(PINS)/bin/python -m pip install --quiet -e '.[dev]'
	$(PINS)/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' | grep -v ' @ ' > constraints.txt
	rm -rf $(PINS)

clean: ## remove the environment and everything built
	rm -rf $(VENV) $(BENCH) $(PINS) site dist .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -e '.[dev]'
	@touch $@

$(BENCH)/.ready: pyproject.toml constraints.txt benchmarks/peers/requirements.txt benchmarks/peers/install.py
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' constraints.txt)"
	$(BENCH)/bin/python -m pip install --quiet -c constraints.txt -e '.[images]'
	$(BENCH)/bin/python benchmarks/peers/install.py
	@touch $@
