# Everything a contributor runs. Needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
PROTO_BIN := $(VENV)/proto/bin
PROTOC = PATH="$(CURDIR)/$(PROTO_BIN):$$PATH" $(PROTO_BIN)/python -m grpc_tools.protoc -I proto
PROTOS := $(wildcard proto/vault/v1/*.proto)
# Stubs, and all protos with what they import as one file, for grpcurl and other clients.
stubs_in = $(PROTOC) --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) \
	--include_imports --descriptor_set_out=$(1)/vault/v1/tokenvault.protoset $(PROTOS)
LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11
export UV_PYTHON_DOWNLOADS := never

.PHONY: install lock lock-check proto proto-check check lowest test test-fast bench bench-columns bench-vaulted bench-server bench-overload bench-proofs bench-reveals soak demo clean

install: $(VENV)/.installed

$(VENV)/.installed: requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Tokenvault needs Python 3.11 or later") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

lock: $(BIN)/uv
	$(LOCK) pyproject.toml --extra server --extra tracing -o requirements/server.txt
	$(LOCK) --group build -o requirements/build.txt
	$(LOCK) --group proto -o requirements/proto.txt
	$(LOCK) pyproject.toml --all-extras --group test --group build --group bench -o requirements/dev.txt
	$(LOCK) --resolution lowest-direct pyproject.toml -o requirements/lowest-plain.txt
	$(LOCK) --resolution lowest-direct pyproject.toml --all-extras --group lowest -o requirements/lowest.txt
	echo "uv==$(UV_VERSION)" | $(LOCK) - -o requirements/bootstrap.txt

$(BIN)/uv:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $@ || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# Environments apart from the one that everything else runs in.
$(VENV)/%/.installed: requirements/%.txt pyproject.toml | install
	test -x $(VENV)/$*/bin/python || $(BIN)/python -m venv --without-pip $(VENV)/$*
	$(BIN)/uv pip sync --quiet --python $(VENV)/$*/bin/python --require-hashes $<
	touch $@

proto: $(VENV)/proto/.installed
	$(call stubs_in,.)

# The committed stubs are what the committed .proto files give.
proto-check: $(VENV)/proto/.installed
	out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && mkdir -p $$out/vault/v1 && \
	$(call stubs_in,$$out) && \
	diff -r --exclude=__init__.py --exclude=__pycache__ $$out/vault/v1 vault/v1 || \
	{ echo "vault/v1 differs from proto/: run 'make proto' and commit" >&2; exit 1; }

# A lock file names packages and hashes; where they come from is the machine's business.
lock-check:
	! grep -nEi 'https?:|--(extra-)?index|--find-links|(^|[ =@])(/|file:)' requirements/*.txt
	for file in requirements/*.txt; do grep -q -- '--hash=sha256:' $$file || { echo "$$file has no hashes" >&2; exit 1; }; done

check: install lock-check proto-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The lowest version of everything that pyproject.toml asks for: unit and contract
# tests, and the file commands of a plain install, without the server's dependencies, against
# a server of today. Warnings of old packages about new ones are theirs.
lowest: $(VENV)/lowest/.installed $(VENV)/lowest-plain/.installed
	rm -rf $(VENV)/wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir $(VENV)/wheel .
	for each in lowest lowest-plain; do \
		$(BIN)/uv pip install --quiet --no-deps --reinstall --python $(VENV)/$$each/bin/python $(VENV)/wheel/*.whl || exit; done
	$(VENV)/lowest/bin/python -m pytest -q -W ignore::DeprecationWarning tests/unit tests/contract
	COMMAND_UNDER_TEST=$(CURDIR)/$(VENV)/lowest-plain/bin/tokenvault $(BIN)/pytest -q tests/e2e/test_cli_files.py

# A file's tests share their servers, so a file is what a process takes, in tests/conftest.py's order.
SIDE_BY_SIDE := --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
# One process more than there are processors: tests of servers wait for a part of their time.
PROCESSORS := import os; print(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())

test: install
	PYTEST_XDIST_AUTO_NUM_WORKERS=$$(( $$($(BIN)/python -c "$(PROCESSORS)") + 1 )) \
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not soak and not bench and not alone"
	$(BIN)/pytest -m alone tests/e2e

# What needs no server.
test-fast: install
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/unit tests/property tests/vectors

bench: install
	$(BIN)/pytest -m bench

# The whole server, TLS, policy, store and audit, beside a handler that does nothing and OpenBao.
# ARGS="--baseline ../before --rounds 5" measures another checkout in turn; --help has the rest.
bench-server: install
	$(BIN)/python -m tests.bench.bench_server $(ARGS)

# Ten times the load that the machine can take: who is refused, how, and what the rest sees.
bench-overload: install
	$(BIN)/python -m tests.bench.bench_overload

# Columns of a vaultless field, beside the same server without policy and audit.
bench-columns: install
	$(BIN)/python tests/bench/bench_columns.py

# A vaulted field beside bare statements on tables of the same shape, with as many rows in them.
ROWS := 100k
bench-vaulted: install
	$(BIN)/python -m tests.bench.bench_vaulted $(ROWS) $(ARGS)

# Proofs of a long audit log. The machine should do nothing else.
bench-proofs: install
	$(BIN)/python -m tests.bench.bench_proofs $(ARGS)

# What a call costs under a grant and a budget, beside the same without; 1, 2 and 4 workers.
bench-reveals: install
	$(BIN)/python -m tests.bench.bench_reveals $(ARGS)

soak: install
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "hypothesis and not soak" --hypothesis-profile=thorough --timeout=1800
	$(BIN)/pytest -m soak -s --timeout=1800

demo: install
	$(BIN)/python deploy/demo/run.py

# Leaves .tokenvault: it may hold a development environment's data.
clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
