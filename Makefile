# Targets are listed by `make help`. Everything runs in .venv, which `make setup` builds from .ci/constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
HGA := $(BIN)/hga

.DEFAULT_GOAL := help
.PHONY: help setup format check test bench evidence demo sweep-demo clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.installed  ## make .venv and install hga with its development tools

.venv/.installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[dev]'
	@touch $@

format: setup  ## format the code
	$(BIN)/ruff format hga_cli tests sample_data
	$(BIN)/ruff check --fix hga_cli tests sample_data

check: setup  ## formatting, lint, types, layers
	$(BIN)/ruff format --check hga_cli tests sample_data
	$(BIN)/ruff check hga_cli tests sample_data
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check  ## set up, check and run all tests
	$(BIN)/pytest -n 2 --dist loadfile

bench: setup  ## measure speed, size and memory against the usual way (by hand, on a quiet machine)
	$(BIN)/python tests/bench/bench_data.py
	$(BIN)/python tests/bench/bench_loading.py
	$(BIN)/python tests/bench/bench_metrics.py
	$(BIN)/python tests/bench/bench_training.py
	$(BIN)/python tests/bench/bench_inference.py
	$(BIN)/python tests/bench/bench_modalities.py
	$(BIN)/python tests/bench/bench_balancing.py

evidence: setup  ## does the method pay? trains it beside its rivals on hard phantoms (by hand; long; goes on where it was)
	$(BIN)/python tests/evidence/evidence.py evidence

demo: export HGA_DATA := demo/data
demo: export HGA_RUNS := demo/runs
demo: setup  ## set up and run the six commands on sample_data (1 to 3 minutes on 2 cores)
	@rm -rf demo
	@echo "1/6  hga preprocess: read the phantoms of sample_data (three of them lack sequences) into demo/data/brats"
	@$(HGA) preprocess sample_data --dataset brats
	@echo; echo "2/6  hga split: who trains, validates and tests; both visits of a subject stay together"
	@$(HGA) split --dataset brats
	@echo; echo "3/6  hga make-imbalance: hide sequences of training cases (so few cases cannot follow the rates closely)"
	@$(HGA) make-imbalance --dataset brats --rates mr2468
	@echo; echo "4/6  hga train: a small network on what each case has left"
	@$(HGA) train --dataset brats --preset demo --device cpu --run demo
	@echo; echo "5/6  hga evaluate: score all combinations of sequences on the test cases"
	@$(HGA) evaluate demo --device cpu
	@echo; echo "6/6  hga predict: label maps for a case that lacks t1 and t2, and from one single file"
	@$(HGA) predict sample_data/Phantom-00006-000 --run demo --device cpu -o demo/predictions --overlay
	@$(HGA) predict sample_data/Phantom-00003-000/Phantom-00003-000-t2f.nii.gz --run demo --device cpu -o demo/predictions
	@echo; echo "and  hga report: one page with scores, curves and test cases"
	@$(HGA) report demo --device cpu
	@echo
	@echo "Where to look:  demo/runs/demo/report.html (open it in a browser), demo/runs/demo/metrics.csv (every score),"
	@echo "                demo/predictions/*.nii.gz (label maps: open them over the scans in any NIfTI viewer)"
	@echo "Next: the same six commands on your own data, see README.md"

sweep-demo: export HGA_DATA := demo/sweep/data
sweep-demo: export HGA_RUNS := demo/sweep/runs
sweep-demo: setup  ## all methods and balancers for a few steps each, and a leaderboard (about 7 minutes on 2 quiet cores)
	@$(HGA) preprocess sample_data --dataset brats
	@$(HGA) split --dataset brats
	@$(HGA) make-imbalance --dataset brats --rates mr2468
	@$(HGA) sweep sample_data/sweep.toml --device cpu --makefile demo/sweep/sweep.mk
	@OMP_NUM_THREADS=1 $(MAKE) -k -j 2 -f demo/sweep/sweep.mk
	@$(HGA) report --leaderboard demo/sweep/runs

clean:  ## remove what demo and tests made
	rm -rf demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
