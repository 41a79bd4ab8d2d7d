# Dal Segno. `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help install run dry-run gate baseline test test-slow lint format golden lock snakemake-report benchmarks clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORES ?= 2
WORKERS ?= 2
STUDY ?= config/studies/first_light.yaml
NAME = $(notdir $(basename $(STUDY)))
# The stamp is named by content, so that touching a file installs nothing.
STAMP := .venv/installed-$(shell cat envs/lock.txt pyproject.toml | cksum | cut -d ' ' -f 1)
BIN := .venv/bin
SNAKEMAKE = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --configfile $(STUDY) $(if $(CACHE),--cache corpus represent) --cores $(CORES)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 28
	@echo
	@echo "  STUDY=config/studies/x.yaml   another study (now: $(STUDY))"
	@echo "  CACHE=1                       share costly data stages by SNAKEMAKE_OUTPUT_CACHE=folder"
	@echo "  CORES=4                       processor cores to use (now: $(CORES))"
	@echo "  WORKERS=0                     processes for the tests (now: $(WORKERS)); 0: in the one that says pytest"

install: $(STAMP) ## create .venv from the lock

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed, $(PYTHON) is another; say make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r envs/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
# librosa compiles loops when it is first imported. Two processes that do so at once can spoil each other's cache, and
# crash ever after: so it is done here, by one.
	$(BIN)/python -c 'import librosa.core.audio, librosa.core.pitch, librosa.core.spectrum, librosa.filters, librosa.util.utils'
	@touch $@

run: $(STAMP) ## run the study; only what changed is played again
	@$(SNAKEMAKE)

dry-run: $(STAMP) ## say which jobs `make run` would run, and why
	@$(SNAKEMAKE) --dry-run

gate: $(STAMP) ## run the study and fail where a gate or its baseline does
	@$(SNAKEMAKE) gate

baseline: $(STAMP) ## take the study's results as its baseline, config/baselines/<study>.json
	@$(SNAKEMAKE) baseline

snakemake-report: $(STAMP) ## logs/<study>-snakemake-report.zip, Snakemake's own report with captions
	@$(SNAKEMAKE) --report logs/$(NAME)-snakemake-report.zip

test: $(STAMP) lint ## lint, types and tests
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not gpu"

test-slow: $(STAMP) ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(STAMP) ## ruff, mypy, snakefmt, the GitHub workflows, snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet --no-progress .github/workflows
	@$(SNAKEMAKE) --lint

format: $(STAMP) ## format Python and Snakemake files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

golden: $(STAMP) ## rewrite the generated and golden files (schemas, environments, golden numbers)
	$(BIN)/python -m dalsegno schema --write
	$(BIN)/python -m dalsegno environments --write

lock: $(STAMP) ## resolve the dependencies anew (keeps what still fits)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --quiet -o envs/lock.txt
	$(BIN)/python -m dalsegno environments --write

benchmarks: $(STAMP) ## measure against a floor or a peer; takes minutes
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/copying.py results/corpora/chorales 100000

clean: ## remove caches and logs; results and .venv stay
	rm -rf .cache logs .pytest_cache .mypy_cache .ruff_cache
