# Every target makes .venv first when it is missing, installs there what it needs and no more, and installs again when
# pyproject.toml or constraints.txt changed.

# The first Python of at least 3.11 on the path. Choose another with: make PYTHON=/path/to/python
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# pip would compile all that it installs, for half a minute (--no-compile). Python compiles what is imported, and has to
# keep it: torch then takes 1.3 s to import, and 5 s without.
unexport PYTHONDONTWRITEBYTECODE
# One stamp for each extra of pyproject.toml that is installed; who has a later one of these three has the earlier ones.
INSTALLED := .venv/.installed-
HELD_train := train
HELD_test := train test
HELD_dev := train test dev

# In two processes, a file in one of them, the longest first as tests/conftest.py orders them.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test sweep check bench gallery site matrix dist release

demo: $(INSTALLED)train
	$(BIN)/elman demo

test: $(INSTALLED)test
	$(PYTEST)

# Every case of the tests of which `make test` runs some, and the searches among many.
sweep: $(INSTALLED)test
	$(PYTEST) --every
	$(BIN)/python tests/captures.py
	$(BIN)/python tests/memory_cases.py 2000 1
	$(BIN)/python -m pytest tests/test_hypothesis.py tests/doctor/test_doctor_hypothesis.py --hypothesis-profile=random

check: $(INSTALLED)dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_exports.py

bench: $(INSTALLED)train
	$(BIN)/elman bench

gallery: $(INSTALLED)train
	$(BIN)/elman explain --gallery build/gallery

# Guides, lessons, gallery and API reference in both languages, in build/site.
site: $(INSTALLED)test
	$(BIN)/python docs/site.py

# The layer's tests with other versions of Python, torch, numba and numpy; some GB of downloads. Not part of `make test`.
matrix: $(INSTALLED)test
	$(BIN)/python -m tools.versions $(MATRIX)

# The wheel and the source distribution, in dist/, checked as tests/test_package.py says.
dist: $(INSTALLED)test
	rm -rf dist
	$(BIN)/python -m hatchling build
	$(BIN)/python -m pytest -q tests/test_package.py

# A release: from a clean checkout whose commit has the tag v<version>. Asks for the index's token.
release: dist
	test -z "$$(git status --porcelain)"
	git describe --exact-match --match "v$$($(BIN)/python -c 'import elman; print(elman.__version__)')"
	$(BIN)/python -m pip install twine
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m twine upload dist/*

$(INSTALLED)%: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "elman needs Python 3.11 or newer, and found none: install one, or name it with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("elman needs Python 3.11 or newer; $(PYTHON) is %d.%d" % v[:2])'
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --no-compile -c constraints.txt -e ".[$*]"
	@touch $(HELD_$*:%=$(INSTALLED)%)
