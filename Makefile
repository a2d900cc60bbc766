# demo: see it work. test: everything the tests need, and the tests. check: what must be clean.
PYTHON ?= python3
DEMO ?= --source demo --frames 150 --prompt fish --prompt jellyfish --prompt starfish \
	--save out/demo.mp4 --jsonl out/demo.jsonl --images out/demo_frames --every-image 50

BIN := .venv/bin
# setuptools warns of folders called like the package; tests/test_layout.py sees that there are none.
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RTX := tensorrt_rtx_cu13_libs,tensorrt_rtx_cu13_bindings
NATIVE := $(wildcard runtime/*.h runtime/*.c)
FOLDERS := runtime engines export calib training jetson
WARNINGS := -std=gnu11 -Wall -Wextra -Werror -fsyntax-only

.PHONY: demo test check types clean
.DELETE_ON_ERROR:

demo: .venv/.runtime
	mkdir -p out
	$(BIN)/sam3-edge run $(DEMO)

test: .venv/.test
	scripts/install-test-packages
	$(BIN)/python -m pytest

check: .venv/.test types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p sam3_edge -p train_default
	$(BIN)/mypy tests examples/*.py
	$(CC) $(WARNINGS) $(filter runtime/kernels%.c,$(NATIVE))
	$(CC) $(WARNINGS) -isystem "$$($(BIN)/python -c \
		'import sysconfig; print(sysconfig.get_path("include"))')" \
		$(filter runtime/_kernels%.c,$(NATIVE))

clean:
	rm -rf build dist out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f runtime/*.so .venv/.runtime .venv/.test

# A stamp is younger than all it was made from, so a second `make` installs nothing.
.venv/.made: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 10) <= sys.version_info[:2] <= (3, 13) \
		else f"expected Python 3.10 to 3.13, got {sys.version.split()[0]}: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		--upgrade pip setuptools wheel
	touch $@

.venv/.runtime: .venv/.made setup.py pyproject.toml $(NATIVE)
	$(INSTALL) --no-build-isolation --editable .
	touch $@

.venv/.test: .venv/.runtime
	$(INSTALL) --no-build-isolation --only-binary=$(RTX) --editable '.[test]'
	touch $@

# The package as mypy can follow it: links, made afresh since files come and go in cli/.
types:
	rm -rf build/types && mkdir -p build/types/sam3_edge
	ln -s $(addprefix ../../../,$(FOLDERS) $(filter-out %/__pycache__,$(wildcard cli/*))) \
		build/types/sam3_edge/
