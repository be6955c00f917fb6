# Everything a fresh machine needs: `make demo` and `make test`. Python 3.10 to 3.13, no network but the package index.
PYTHON ?= python3
VENV   ?= .venv
DEMO   ?= runs/demo
ARGS   ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint format type docs bench wheel clean distclean

help:
	@echo "make demo    install, play a tournament of each game, solve it, write its report"
	@echo "make test    install, run the test suite                (ARGS='-k levels' goes to pytest; make test-slow: the trainings)"
	@echo "make lint    ruff check and format check                (make format mends what it can)"
	@echo "make type    mypy --strict on the built wheel, from outside the repository"
	@echo "make docs    API pages into site/"
	@echo "make bench   speed ratios                               (ARGS='poisoning --json' goes to advgames bench)"
	@echo "make wheel   dist/*.whl"
	@echo "make clean   remove what was built; distclean removes the environment too; runs/ always stays"

# Two stamps: the demo does not wait for the extras that only tests and learning players need.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) setuptools
	$(PIP) --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --no-build-isolation -e ".[rl,attacks,dev]"
	$(PIP) --no-deps torchattacks secml-torch  # both ask for torchvision, which neither imports
	@touch $@

install: $(VENV)/.installed-dev

demo: $(VENV)/.installed
	$(BIN)/advgames tournament training/configs/digits-levels.yaml --out $(DEMO) --workers 2 --resume
	$(BIN)/advgames solve $(DEMO)
	$(BIN)/advgames report $(DEMO)
	$(BIN)/advgames tournament training/configs/perturbation-polygon.yaml --out $(DEMO)-test-time --workers 2 --resume
	$(BIN)/advgames solve $(DEMO)-test-time
	$(BIN)/advgames report $(DEMO)-test-time
	@echo "The reports lie at $(abspath $(DEMO))/report.html and $(abspath $(DEMO))-test-time/report.html"

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow" $(ARGS)

test-slow: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m slow $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# build/ goes first: setuptools would pack modules that were deleted since the last build.
wheel: $(VENV)/.installed-dev
	rm -rf build dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

# A type checker cannot follow package-dir: it reads the unpacked wheel, where none of the folders here is in sight.
type: wheel
	@site=$$(mktemp -d) && trap 'rm -rf "$$site"' EXIT && $(BIN)/python -m zipfile -e dist/*.whl "$$site" && cd "$$site" \
	  && "$(abspath $(BIN))/mypy" --config-file "$(CURDIR)/pyproject.toml" --cache-dir "$(CURDIR)/.mypy_cache" -p advgames

docs: $(VENV)/.installed-dev
	$(BIN)/pdoc --docformat google --output-directory site \
	  advgames advgames.agents advgames.envs advgames.training
	@echo "The pages lie at $(CURDIR)/site/index.html"

bench: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/advgames bench $(ARGS)

clean:
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
