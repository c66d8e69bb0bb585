# make demo: bake and serve for real, on this machine.   make test: everything that checks amibake.
PYTHON ?= python3
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
BIN := .venv/bin
SCRIPTS := .ci/run tools/system benchmarks/system amibake/seal.sh amibake/timer.sh amibake/ssh/get.sh amibake/ssh/put.sh amibake/sandbox/firstboot/amibake-firstboot \
	amibake/sandbox/firstboot/amibake-firstboot.init provisioning/primal provisioning/carnivore \
	provisioning/mailtube/init.d/appserver.conf

# Each step needs what the one before it made, also where -j or MAKEFLAGS asks for several at a time.
.NOTPARALLEL:
.PHONY: help demo docs test check unit sandbox coverage bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     bake primal and carnivore on this machine and serve the example application"
	@echo "make test     check the code, then run all tests: in process first, then in the sandbox"
	@echo "make docs     build the documentation: docs/_build/html/index.html"
	@echo "make bench    measure amibake beside Packer, OpenSSH and rsync; ROWS=\"bake-now upload-small\" for some of it"
	@echo "make clean    remove what killed sandboxes left, and the virtual environment"

demo: .stamps/system .stamps/venv
	$(BIN)/python examples/demo.py

test: check unit sandbox coverage

docs: .stamps/venv
	$(BIN)/sphinx-build -q -E -W --keep-going -b html docs docs/_build/html

check: docs .stamps/venv
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck $(SCRIPTS)

unit: .stamps/venv
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -q -n auto -m "not sandbox"

sandbox: .stamps/venv .stamps/system
	$(BIN)/python -m amibake.sandbox prepare
	$(SUDO) env XDG_CACHE_HOME="$${XDG_CACHE_HOME:-$$HOME/.cache}" $(BIN)/coverage run -m pytest -q -m sandbox

coverage:
	$(SUDO) $(BIN)/coverage combine -q
	$(SUDO) $(BIN)/coverage report --fail-under=95

bench: .stamps/venv .stamps/system
	$(SUDO) benchmarks/system
	$(SUDO) env XDG_CACHE_HOME="$${XDG_CACHE_HOME:-$$HOME/.cache}" $(BIN)/python -m benchmarks $(if $(ROWS),--rows $(ROWS),--write) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(WRITE),--write)

.stamps/venv: pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ $(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q python3-venv; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	@mkdir -p .stamps && touch $@

.stamps/system: tools/system
	$(SUDO) tools/system
	@mkdir -p .stamps && touch $@

clean:
	-$(BIN)/python -m amibake.sandbox clean
	rm -rf .venv .stamps .coverage .coverage.* dist docs/_build
