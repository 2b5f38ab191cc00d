.DEFAULT_GOAL := help
.PHONY: help repro push pull deps test test-slow test-pythons bench-data bench-train bench-scaling bench-serve bench-quality bench-cost clean distclean

PYTHON ?= python3
FRAMES ?= data/raw
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# A virtual environment that was moved with the repo has scripts that point to its old place: install it anew.
ifeq ($(shell grep -sqF "$(CURDIR)/.venv/bin" .venv/bin/dvc || echo moved),moved)
$(shell rm -f .venv/run.stamp .venv/test.stamp .venv/bench.stamp)
endif

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 15

repro: .venv/run.stamp  ## Set up .venv, run the pipeline as far as something changed, publish to MLflow
	@dvc repro
	@echo
	@echo 'Activate the environment:   source .venv/bin/activate'
	@echo 'Look at runs and versions:  mlflow ui'
	@echo 'Try another learning rate:  dvc exp run -S train.lr=3e-4, then dvc exp show --only-changed'
	@echo 'Serve the champion:         mlflow models serve -m models:/vit@champion --env-manager local'

push: .venv/run.stamp  ## Copy data, models and the run cache to the default DVC remote
	dvc push --run-cache

pull: .venv/run.stamp  ## Bring them back from there
	dvc pull --run-cache

deps: .venv/run.stamp  ## Write what follows from the code: dependencies in dvc.yaml, docs/parameters.md
	python -m vit.pipeline

test: .venv/test.stamp  ## Set up .venv, then lint, check types and run the tests
	ruff check .
	ruff format --check .
	pyrefly check --summary=none
	python -m pytest

test-slow: .venv/test.stamp  ## Run the longer proofs: a store that is away, deleted runs, cleaning up
	python -m pytest -m slow

test-pythons:  ## Run the tests on every Python from 3.11 to 3.14 found here, each in a fresh clone of the last commit
	.ci/test-pythons 3.11 3.12 3.13 3.14

bench-data: .venv/run.stamp  ## Measure the input pipeline on JPEGs: make bench-data FRAMES=folder
	python -m benchmarks.data --frames $(FRAMES) --out benchmarks/data.json

bench-train: .venv/bench.stamp  ## Measure training steps against timm, torchvision, transformers and a tutorial's ViT
	python -m benchmarks.train --out benchmarks/train.json

bench-scaling: .venv/run.stamp  ## Measure an epoch against the number of images, memory against the batch size
	python -m benchmarks.scaling --out benchmarks/scaling.json

bench-serve: .venv/bench.stamp  ## Measure serving under load, about 8 minutes on an idle machine
	python -m benchmarks.serve --out benchmarks/serve.json

bench-quality: .venv/run.stamp  ## Measure accuracy at equal training time, some hours: make bench-quality FRAMES=folder
	python -m benchmarks.quality $(if $(filter file,$(origin FRAMES)),,--frames $(FRAMES)) --out benchmarks/quality.json

bench-cost: .venv/run.stamp  ## Measure size, training and inference time of the presets' models beside a CNN's
	python -m benchmarks.cost --out benchmarks/cost.json

clean: .venv/run.stamp  ## Delete what no commit or experiment refers to, runs deleted in MLflow, checkpoints and logs
	dvc gc --all-commits --all-experiments --force
	test ! -f mlflow.db || mlflow gc --backend-store-uri sqlite:///mlflow.db --tracking-uri sqlite:///mlflow.db
	rm -rf checkpoints logs

distclean:  ## Delete everything that git ignores: .venv, data, cache, mlflow.db
	git clean -dfX

.venv/run.stamp: requirements.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(if $(TORCH_INDEX),.venv/bin/pip install --quiet --index-url $(TORCH_INDEX) $(shell sed -nE 's/^(torch(vision)?==[^ ]+).*/\1/p' requirements.txt))
	.venv/bin/pip install --quiet --requirement requirements.txt --constraint constraints.txt
	.venv/bin/pip install --quiet --no-deps --editable .
	@touch $@

.venv/test.stamp: .venv/run.stamp requirements-test.txt requirements-hub.txt
	.venv/bin/pip install --quiet --requirement requirements-test.txt --requirement requirements-hub.txt --constraint constraints.txt
	@touch $@

.venv/bench.stamp: .venv/run.stamp requirements-bench.txt
	.venv/bin/pip install --quiet --requirement requirements-bench.txt --constraint constraints.txt
	@touch $@
