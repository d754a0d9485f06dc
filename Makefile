# What a checkout can do. A machine with Python and a network needs nothing else; after the first time it needs no network either.
#
#   make demo    the whole system on this machine, with the example files and simulated answers
#   make local   the same stack, left running for your own files; Ctrl-C ends it
#   make test    every test
#   make test-fast  the unit tests alone, while you change the code
#   make deploy  the stack in the AWS account of your environment: STACK=batchdrop ARCHITECTURE=arm64 PARAMETERS="NotificationEmail=you@example.org"
#   make audit   checkov on the template as CloudFormation receives it
#   make simulate  the long simulation: SEEDS=100 pairs and storms of each story, every single fault of each, every mutant
#   make chaos   the real stack with functions killed all the time: ITEMS=20000 MINUTES=45 SEED=1; both write docs/scoreboard.md
#   make verify-provider  what is assumed of the provider, held against the one of OPENAI_API_KEY; asks before it spends under a cent
#   make verify-aws  what is assumed of AWS, held against the account of your environment; asks before it spends, deletes it again
#   make bench   every benchmark, into docs/benchmarks.md: BENCHMARKS="build split" for some of them, ROUNDS=3
#   make picture the README's picture, docs/images/drop.svg, from a drop on this machine
#   make lint    style, format and types
#   make lock    the lock files anew, from pyproject.toml and requirements/*.in
#   make clean   removes what the others made

PYTHON_VERSIONS = 3.13 3.14 3.12
UV ?= uv

.PHONY: help demo local test test-fast simulate chaos verify-aws verify-provider bench picture deploy audit lint lock clean
.PHONY: local-environment dev-environment private-environments sam-environment checkov-environment both-local both-dev
help:
	@sed -n 's/^#   //p' Makefile

demo: both-local
	@.venv/bin/batchdrop demo $(if $(PROVIDER),--provider $(PROVIDER))

local: both-local
	@exec .venv/bin/batchdrop local

# Two workers, each given whole files: the tests of a file share the stack that the first one started.
test: both-dev
	@.venv/bin/pytest -q --numprocesses 2 --dist loadfile $(PYTEST_OPTIONS)

# No stack, no emulator, and nothing that takes many seconds.
test-fast: dev-environment
	@.venv/bin/pytest -q --numprocesses 2 --dist loadfile -m "not slow" $(PYTEST_OPTIONS) tests/unit

SEEDS ?= 100
simulate: dev-environment
	@PYTHONPATH=tests .venv/bin/python -m simulation.campaign --seeds $(SEEDS) --scoreboard docs/scoreboard.md $(SIMULATE_OPTIONS)

ITEMS ?= 20000
MINUTES ?= 45
SEED ?= 1
chaos: both-dev
	@PYTHONPATH=tests .venv/bin/python -m chaos.run --items $(ITEMS) --minutes $(MINUTES) --seed $(SEED) --scoreboard docs/scoreboard.md

VERIFY_OPTIONS ?=
verify-provider: local-environment
	@.venv/bin/batchdrop verify-provider $(VERIFY_OPTIONS)

verify-aws: local-environment
	@.venv/bin/batchdrop verify-aws $(VERIFY_OPTIONS)

ROUNDS ?= 3
BENCHMARKS ?=
bench: dev-environment
	@.venv/bin/python benchmarks/bench.py --rounds $(ROUNDS) $(BENCHMARKS)

picture: both-dev
	@PYTHONPATH=tests .venv/bin/python -m picture

lint: dev-environment
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy

# The account, the region and the keys are those that every AWS client finds. They are asked before anything is built; what will
# change is shown and asked about. Without ARCHITECTURE a stack keeps its processor.
STACK ?= batchdrop
ARCHITECTURE ?=
PARAMETERS ?=
SAM_OPTIONS ?=
BUILDS ?= .aws-sam
deploy: local-environment
	@.venv/bin/batchdrop --stack $(STACK) deploy --builds $(BUILDS) $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE)) \
		--sam-options '$(SAM_OPTIONS)' $(PARAMETERS)

audit: dev-environment checkov-environment
	@.venv/bin/python tools/audit.py .local/checkov/bin/checkov

sam-environment checkov-environment: %-environment: .venv/bin/python
	@PYTHONPATH=tools .venv/bin/python -c 'from pathlib import Path; from batchdrop_cli.local.environments import prepare_tool; \
		prepare_tool("$*", Path(".local"), Path("requirements"), print)'

# Ours and the private ones are installed side by side: 25 s instead of 45 from nothing.
both-local both-dev: both-%:
	@$(MAKE) --no-print-directory --jobs 2 $*-environment private-environments

local-environment: .venv/bin/python
	$(call install,local)

dev-environment: .venv/bin/python
	$(call install,dev)

private-environments: .venv/bin/python
	@PYTHONPATH=tools .venv/bin/python -c 'from pathlib import Path; from batchdrop_cli.local.environments import prepare; \
		prepare(Path(".local"), Path("requirements"), print)'

# The stamp is made of the lock's text, not of its time: a checkout changes the one and not the other.
define install
	@digest=$$(cat requirements/$(1).txt pyproject.toml | cksum); \
	if [ "$$(cat .venv/$(1).stamp 2>/dev/null)" != "$$digest" ]; then \
		echo "Installing requirements/$(1).txt into .venv (once) …" >&2; \
		.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile --requirement requirements/$(1).txt && \
		.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . && \
		echo "$$digest" > .venv/$(1).stamp; \
	fi
endef

# Each candidate is tried by running it: version managers put commands on the path that only say that they are not set up.
.venv/bin/python:
	@found=; \
	for version in $(PYTHON_VERSIONS); do \
		for candidate in "$$PYTHON" python$$version "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python$$version python3 python; do \
			if [ -z "$$found" ] && [ -n "$$candidate" ] && "$$candidate" -c 'import ensurepip, sys, venv; \
				sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' $$version >/dev/null 2>&1; then found=$$candidate; fi; \
		done; \
	done; \
	if [ -z "$$found" ] && command -v uv >/dev/null 2>&1; then \
		echo "No Python $(firstword $(PYTHON_VERSIONS)) here: uv installs one …"; \
		uv python install $(firstword $(PYTHON_VERSIONS)) && found=$$(uv python find --managed-python $(firstword $(PYTHON_VERSIONS))); \
	fi; \
	if [ -z "$$found" ] && command -v pyenv >/dev/null 2>&1; then \
		echo "No Python $(firstword $(PYTHON_VERSIONS)) here: pyenv builds one, which takes some minutes …"; \
		pyenv install --skip-existing $(firstword $(PYTHON_VERSIONS)) && \
			found=$$(pyenv prefix "$$(pyenv latest $(firstword $(PYTHON_VERSIONS)))")/bin/python; \
	fi; \
	if [ -z "$$found" ]; then echo "Install Python $(firstword $(PYTHON_VERSIONS)) (python.org, or your system's package with venv), and try again." >&2; exit 1; fi; \
	rm -rf .venv; "$$found" -m venv .venv

COMPILE = $(UV) pip compile --quiet --generate-hashes --universal --python-version 3.12 --no-emit-index-url --no-annotate --no-header

# The layer and the tools are locked to the same versions; the emulator pins its own.
lock:
	$(COMPILE) requirements/layer.in --output-file requirements/layer.txt
	$(COMPILE) pyproject.toml requirements/build.in --extra local --constraint requirements/layer.txt --output-file requirements/local.txt
	$(COMPILE) pyproject.toml --extra local --extra dev --constraint requirements/local.txt --output-file requirements/dev.txt
	$(COMPILE) requirements/emulator.in --output-file requirements/emulator.txt
	$(COMPILE) requirements/moto.in --output-file requirements/moto.txt
	$(COMPILE) requirements/runtime-client.in --output-file requirements/runtime-client.txt
	$(COMPILE) requirements/sam.in --output-file requirements/sam.txt
	$(COMPILE) requirements/checkov.in --output-file requirements/checkov.txt

clean:
	rm -rf .venv .local .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
