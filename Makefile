# Two commands for a person: `make run` and `make test`. Each does its own set-up; a second call
# finds it done. The virtual environment is the only thing written outside of git's sight.

PYTHON ?= python3
GUESTS ?= 2
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find sdmtop -name '*.py')

.PHONY: run test check lint types imports unit long tty guest guest-full guest-shell guest-captures bench \
  schema docs screenshots lock clean
.DEFAULT_GOAL := run

# Some environments set PYTHONDONTWRITEBYTECODE: without compiled files the console starts four
# times slower, so compiling is a step of its own.
unexport PYTHONDONTWRITEBYTECODE

run: $(VENV)/compiled
	@$(BIN)/sdmtop $(ARGS)

test: check long tty guest

# Terminals and emulated machines wait for clocks that a busy machine holds up. What fails there
# gets a second chance alone, and has failed if it fails twice.
AGAIN := --last-failed --last-failed-no-failures none

tty: $(VENV)/compiled
	$(BIN)/pytest -m tty || $(BIN)/pytest -m tty $(AGAIN)

check: lint types imports unit

lint: $(VENV)/compiled
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/compiled
	$(BIN)/mypy

imports: $(VENV)/compiled
	$(BIN)/lint-imports

unit: $(VENV)/compiled
	$(BIN)/pytest -m "not long and not tty and not guest" -n auto

long: $(VENV)/compiled
	$(BIN)/pytest -m long -n auto

# Stock kernels in QEMU, two at a time: docs/guest.md.
guest: $(VENV)/compiled
	$(BIN)/pytest -m guest -n $(GUESTS) --dist loadgroup $(ARGS) \
	  || $(BIN)/pytest -m guest -n $(GUESTS) --dist loadgroup $(AGAIN) $(ARGS)

guest-full: $(VENV)/compiled
	$(BIN)/python -m tests.guest build
	SDMTOP_GUEST_FULL=1 $(BIN)/pytest -m guest -k "full-" -n $(GUESTS) --dist loadgroup $(ARGS)

KERNEL ?= 6.12
TOPOLOGY ?= intel
guest-shell: $(VENV)/compiled
	@$(BIN)/python -m tests.guest shell --kernel $(KERNEL) --topology $(TOPOLOGY) $(if $(BUSY),--busy)

guest-captures: $(VENV)/compiled
	$(BIN)/python -m tests.guest captures

bench: $(VENV)/compiled
	$(BIN)/python -m benchmarks

schema: $(VENV)/compiled
	$(BIN)/python -m sdmtop.schema > docs/snapshot.schema.json

docs: $(VENV)/compiled
	$(BIN)/python -m docs.make

# Fails if a picture is another than it was: look at it, and commit it.
screenshots: $(VENV)/compiled
	$(BIN)/python -m screenshots.make

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "$$(grep '^pip==' requirements.lock)"
	$(BIN)/pip install --quiet --disable-pip-version-check --compile --requirement requirements.lock
	$(BIN)/pip uninstall --quiet --yes setuptools
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

$(VENV)/compiled: $(VENV)/installed $(SOURCES)
	@$(BIN)/python -m compileall -q sdmtop
	@touch $@

# Resolves the newest versions that pyproject.toml allows and writes them down.
lock:
	rm -rf $(VENV)/lock && $(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet --upgrade pip
	$(VENV)/lock/bin/pip install --quiet --group dev .
	$(VENV)/lock/bin/pip install --quiet hatchling==1.33.0 editables
	(echo "# Exact versions, made by 'make lock'."; $(VENV)/lock/bin/pip freeze --all \
	  | grep -Ev '^(sdmtop|setuptools)\b' | LC_ALL=C sort --ignore-case) > requirements.lock
	rm -rf $(VENV)/lock

clean:
	rm -rf $(VENV) .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist snapshot_report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
