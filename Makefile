.DEFAULT_GOAL := help
.PHONY: help repro studio up images push pull deps docs book test test-fast test-slow test-book test-pythons bench-data bench-train bench-scaling bench-serve bench-quality bench-cost bench-watching bench-shards bench-parity bench-labels bench-waiting bench-growth bench-engine bench-floors bench-distributed bench-tracked-files bench-logging bench-drift clean distclean

PYTHON ?= python3
FRAMES ?= data/raw
TARGETS ?= serve train studio tracking
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Neither can be escaped: one ends the path in pip's scripts, the other separates the folders of PATH.
ifneq ($(findstring ",$(CURDIR))$(findstring :,$(CURDIR)),)
$(error the path of this folder contains a double quote or a colon, which a Python environment cannot have; rename the folder)
endif

# The scripts of a virtual environment that was moved with the repo point to the old path, so it is reinstalled.
ifeq ($(shell grep -sqF "$$PWD/.venv/bin" .venv/bin/dvc || echo moved),moved)
$(shell rm -f .venv/run.stamp .venv/docs.stamp .venv/studio.stamp .venv/test.stamp .venv/bench.stamp)
endif

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 17

repro: .git .venv/run.stamp  ## Set up .venv, rerun the stages that changed, publish to MLflow
	@dvc repro
	@echo
	@echo 'Activate the environment:   source .venv/bin/activate'
	@echo 'Look at runs and versions:  mlflow ui, then open the address that register printed above'
	@echo 'Try another learning rate:  dvc exp run -S train.lr=3e-4, then dvc exp show --only-changed'
	@echo 'Serve the champion:         mlflow models serve -m models:/vit@champion --env-manager local'

studio: .venv/studio.stamp  ## Train, compare, ask and look inside in the browser
	python -m vit studio

up:  ## Train, publish and serve in containers; with PROFILE=full also the Studio and a proxy with TLS
	deploy/up

images:  ## Build the images, by docker or buildah: make images TARGETS="serve tracking"
	deploy/build $(TARGETS)

push: .venv/run.stamp  ## Copy data, models and the run cache to the default DVC remote
	dvc push --run-cache

pull: .venv/run.stamp  ## Fetch them from there
	dvc pull --run-cache

deps: .venv/run.stamp  ## Regenerate dependencies in dvc.yaml and docs/reference/parameters.md from the code
	python -m vit.pipeline

docs: .venv/docs.stamp  ## Build the documentation site; open docs/_build/index.html
	rm -rf docs/_build
	python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build
	@echo 'Open docs/_build/index.html'

book: .venv/run.stamp  ## Run the book's chapters and keep what they print and draw for the site, some minutes
	python -m learn.run

test: .venv/test.stamp  ## Set up .venv, then lint, check types and run the tests
	ruff check .
	ruff format --check .
	pyrefly check --summary=none
	python -m pytest

test-fast: .venv/test.stamp  ## Lint, check types and run the short tests, in under a minute on two cores
	ruff check .
	ruff format --check .
	pyrefly check --summary=none
	python -m pytest -m 'not slow and not long'

test-slow: .venv/test.stamp  ## Run the slow tests: an unreachable store, deleted runs, cleaning up
	python -m pytest -m slow

test-book: .venv/test.stamp  ## Run the book's chapters whole, and compare the verdicts on claims with those on the site
	BOOK=whole python -m pytest -n 0 tests/learn

test-pythons:  ## Run the tests on each installed Python from 3.11 to 3.14, in a fresh clone of the last commit
	.ci/test-pythons 3.11 3.12 3.13 3.14

bench-data: .venv/run.stamp  ## Measure the input pipeline on JPEGs: make bench-data FRAMES=folder
	python -m benchmarks.data --frames $(FRAMES) --out benchmarks/data.json

bench-train: .venv/bench.stamp  ## Measure training steps against timm, torchvision, transformers and a tutorial's ViT
	python -m benchmarks.train --out benchmarks/train.json

bench-scaling: .venv/run.stamp  ## Measure an epoch against the number of images, memory against the batch size
	python -m benchmarks.scaling --out benchmarks/scaling.json

bench-serve: .venv/bench.stamp  ## Measure serving under load, about 9 minutes on an idle machine
	python -m benchmarks.serve --out benchmarks/serve.json

bench-quality: .venv/run.stamp  ## Measure accuracy at equal training time, some hours: make bench-quality FRAMES=folder
	python -m benchmarks.quality $(if $(filter file,$(origin FRAMES)),,--frames $(FRAMES)) --out benchmarks/quality.json

bench-parity: .venv/bench.stamp  ## Compare every public family of ViTs with its original, in seconds
	python -m benchmarks.parity --out benchmarks/parity.json

bench-labels: .venv/run.stamp  ## Measure pretraining without labels, some hours: make bench-labels IMAGES=folder
	python -m benchmarks.few_labels --images $(IMAGES) --out benchmarks/few_labels.json

bench-shards: .venv/run.stamp  ## Measure training from shards, also from a slow bucket (needs requirements-remote*.txt)
	python -m benchmarks.shards --out benchmarks/shards.json

bench-growth: .venv/run.stamp  ## Measure how download and split grow: make bench-growth SIZES="10000 1000000" SCRATCH=folder
	python -m benchmarks.growth --out benchmarks/scale.json --picture docs/results/growth.png $(if $(SIZES),--images $(SIZES)) $(if $(SCRATCH),--scratch $(SCRATCH))

bench-engine: .venv/run.stamp  ## Measure split and pack by Dask's workers, about 6 minutes (needs requirements-engine.txt)
	python -m benchmarks.engine --out benchmarks/engine.json $(if $(SCRATCH),--scratch $(SCRATCH))

bench-floors: .venv/bench.stamp  ## Measure inference and training steps beside the least time this CPU needs, about 3 minutes
	python -m benchmarks.floors --out benchmarks/floors.json

bench-distributed: .venv/bench.stamp  ## Measure what exchanging gradients costs 2 and 4 processes, about 4 minutes
	python -m benchmarks.distributed --out benchmarks/distributed.json

bench-tracked-files: .venv/run.stamp  ## Measure what 100,000 tracked files cost DVC, and one tar: make bench-tracked-files SCRATCH=folder
	python -m benchmarks.tracked_files --out benchmarks/tracked_files.json $(if $(SCRATCH),--scratch $(SCRATCH))

bench-cost: .venv/run.stamp  ## Measure size, training and inference time of the presets' models beside a CNN's
	python -m benchmarks.cost --out benchmarks/cost.json

bench-watching: .venv/studio.stamp .venv/bench.stamp  ## Measure what watching a training in the Studio costs it, about 4 minutes
	python -m benchmarks.watching --out benchmarks/watching.json

bench-waiting: .venv/run.stamp  ## Measure how long commands and the start of a server take, about 3 minutes
	python -m benchmarks.waiting --out benchmarks/waiting.json

bench-logging: .venv/bench.stamp  ## Measure what logging predictions costs a server, about 2 minutes
	python -m benchmarks.prediction_log --out benchmarks/prediction_log.json

bench-drift: .venv/run.stamp  ## Measure when drift is noticed, and false alarms: make bench-drift FRAMES=folder
	python -m benchmarks.drift --frames $(FRAMES) --out benchmarks/drift.json

clean: .venv/run.stamp  ## Delete what no commit or experiment refers to, runs deleted in MLflow, checkpoints and logs
	dvc gc --all-commits --all-experiments --force
	test ! -f mlflow.db || mlflow gc --backend-store-uri sqlite:///mlflow.db --tracking-uri sqlite:///mlflow.db
	rm -rf checkpoints logs

distclean:  ## Delete everything that git ignores: .venv, data, cache, mlflow.db
	git clean -dfX

.git:
	$(error DVC needs a git repository, and this folder is none: clone the project, or run `git init && git add -A && git commit -m start` here)

.venv/run.stamp: requirements.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(if $(TORCH_INDEX),.venv/bin/pip install --quiet --index-url $(TORCH_INDEX) $(shell sed -nE 's/^(torch(vision)?==[^ ]+).*/\1/p' requirements.txt))
	.venv/bin/pip install --quiet --requirement requirements.txt --constraint constraints.txt
	.venv/bin/pip install --quiet --no-deps --editable .
	@touch $@

.venv/studio.stamp: .venv/run.stamp requirements-studio.txt
	.venv/bin/pip install --quiet --requirement requirements-studio.txt --constraint constraints.txt
	@touch $@

.venv/docs.stamp: .venv/run.stamp requirements-docs.txt
	.venv/bin/pip install --quiet --requirement requirements-docs.txt --constraint constraints.txt
	@touch $@

TESTED = requirements-test.txt requirements-hub.txt requirements-heic.txt requirements-labels.txt requirements-studio.txt requirements-engine.txt requirements-monitor.txt

.venv/test.stamp: .venv/docs.stamp $(TESTED)
	.venv/bin/pip install --quiet $(TESTED:%=--requirement %) --constraint constraints.txt
	@touch $@

.venv/bench.stamp: .venv/run.stamp requirements-bench.txt
	.venv/bin/pip install --quiet --requirement requirements-bench.txt --constraint constraints.txt
	@touch $@
