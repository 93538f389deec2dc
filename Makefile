# Every target makes .venv first when it is missing, and installs again when pyproject.toml or constraints.txt changed.

# The first Python of at least 3.11 on the path. Choose another with: make PYTHON=/path/to/python
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test check bench gallery site

demo: $(INSTALLED)
	$(BIN)/elman demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_exports.py

bench: $(INSTALLED)
	$(BIN)/elman bench

gallery: $(INSTALLED)
	$(BIN)/elman explain --gallery build/gallery

site: $(INSTALLED)
	$(BIN)/python docs/site.py

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "elman needs Python 3.11 or newer, and found none: install one, or name it with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("elman needs Python 3.11 or newer; $(PYTHON) is %d.%d" % v[:2])'
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev,plot,site]"
	@touch $@
