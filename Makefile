# The commands of the README. Needs make and Python 3.11 or newer; everything else goes into .venv.
# WARDEN_HOME, WARDEN_PORT and WARDEN_CONFIG choose the stack, as environment or as `make run WARDEN_PORT=12000`.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
QUESTION ?= What is mlx-warden?
HTTP_QUESTION ?= How do I add a real model?
MAX_TOKENS ?= 300

.PHONY: help run stop test test-long check bench bench-all guide fields clean

help:
	@echo "make run        install, start the stack, ask a question over ZeroMQ and over HTTP; leaves it running"
	@echo "make stop       stop it"
	@echo "make test       install and run all tests but the long ones; make test-long runs those"
	@echo "make check      style, structure and the example configuration"
	@echo "make bench      measure latency, throughput and overhead, beside references"
	@echo "make bench-all  measure all that the README tells and save it in bench/results (a quarter of an hour)"
	@echo "make guide      train the built-in model again from its text, and score it (under an hour)"
	@echo "make fields     print the README's tables of fields, settings and clients, from the code"
	@echo "make clean      stop the stack and remove what was installed"

run: $(STAMP)
	@$(BIN)/warden up < /dev/null
	@echo
	@echo "--- asked over ZeroMQ: $(QUESTION)"
	@$(BIN)/warden ask --max-tokens $(MAX_TOKENS) "$(QUESTION)"
	@echo
	@echo "--- asked over HTTP: $(HTTP_QUESTION)"
	@$(BIN)/warden ask --http --max-tokens $(MAX_TOKENS) "$(HTTP_QUESTION)"
	@echo
	@echo "It goes on running; look at it with $(BIN)/warden ps, end it with make stop."

stop:
	@if [ -x $(BIN)/warden ]; then $(BIN)/warden down; else echo "nothing is installed here, so nothing runs"; fi

# Three files of tests at a time: most of them wait for real processes. The order of the files is conftest.py's. The
# hundreds of processes that the tests start share compiled bytecode, also where the environment (as that of most
# containers) says that none is to be kept.
test: $(STAMP)
	@$(BIN)/python -m tests.support.chromium  # installs one if that was asked for (WARDEN_INSTALL_CHROMIUM=1, CI)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-long: $(STAMP)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m long

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q tests/test_tidy.py
	@# The example names weights that need not be on this machine; the echo engine looks for none.
	sed 's/^engine = "mlx"/engine = "echo"/' warden.example.toml > $(VENV)/example.toml
	$(BIN)/warden check $(VENV)/example.toml

# Some ten minutes; the machine should be quiet. `.venv/bin/python -m bench --help` for one of them, and its options.
bench: $(STAMP)
	$(BIN)/python -m bench throughput --rounds 5
	$(BIN)/python -m bench overhead --rounds 5
	$(BIN)/python -m bench latency --rounds 5

# Into bench/results, under the name of this machine, and from there into the README. The machine must be quiet.
bench-all: $(STAMP)
	$(BIN)/python -m bench all --save
	$(BIN)/python -m bench tables --write

# One BLAS thread: the training has two threads of its own.
guide: $(STAMP)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m workers.guide.train
	$(BIN)/python -m workers.guide.evaluate

fields: $(STAMP)
	@$(BIN)/python -m gateway.http.field_table
	@$(BIN)/python -m control.settings_table
	@$(BIN)/python -c "from gateway.cli.paste_lines import readme_section; print(readme_section())"

clean: stop
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed once, and again when the dependencies change. An install that was cut short leaves no stamp.
$(STAMP): pyproject.toml
	@found=""; \
	for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Python 3.11 or newer is needed and was not found; say where it is: make PYTHON=/path/to/python3" >&2; \
		exit 2; fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "making $(VENV) with $$found"; \
		$$found -m venv --clear $(VENV) || { \
			echo "$$found cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)" >&2; \
			exit 2; }; \
	fi
	@echo "installing into $(VENV) (once; some minutes on a slow line)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@
