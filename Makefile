# Everything lives in .venv, which is made when it is missing. Needed beforehand: Python 3.11 or later, pip, make.
#
#   make demo     a handoff under traffic, on this machine alone     (ARGS='--kill green@baking' hands options on)
#   make test     the tests                                          (ARGS='-k status' hands options on)
#   make soak     10,000 messages through a real Hermes that is killed 200 times  (ARGS='--messages 300 --kills 6 --seed 2' hands options on)
#   make soak-journal    many writers, killed and stopped, 100,000 events  (ARGS='--seed 2' hands options on)
#   make breaks   each promise of the record broken on purpose: a test must notice  (ARGS='--only erase' hands options on)
#   make datasette       the views of docs/sql.md in a real datasette, which it installs into build/
#   make healthy  200 handoffs of healthy greens under uneven load, and 3,000 made-up days: no rule may fire
#   make divergence      every fault of a green in the bake, by real processes
#   make simulate SEEDS=10000  everything in one process, from a seed  (SEED=n runs one again, shrunk when it fails)
#   make mutants  the product broken in 16 ways, one at a time: the simulation must notice each  (ARGS='--only polls' hands options on)
#   make model    every world of the protocol, exhaustively    (ARGS='--messages 2 --kills 1' one size, ARGS=--large many)
#   make crash    the crash matrix: real processes hurt at every named point   (ARGS='--piece 3/30 --jobs 4' hands options on)
#   make power    the power cut at any moment of a recorded run; needs strace, which apt installs when it is missing
#   make systemd  the keeper under a real systemd, as root; apt installs it when it is missing
#   make upgrades hermes-agent 0.18.2 to 0.19.0 under traffic: promoted, rolled back, killed in the bake
#   make kept-work 500 messages that green answered in the bake, then a rollback: does blue know them?  (ARGS='--messages 50')
#   make pages    the audit's page in a real browser; Chromium is installed by apt when it is missing, for which it must be root
#   make incidents       42 ways to break a handoff from outside: the audit must name each   (ARGS='--only killed' hands options on)
#   make bench    how fast it is, beside what it is compared with  (ARGS='--events 100000' hands options on)
#   make check    format, lint, types, tests: what must pass before a change is handed in

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
# the program itself; the script in PATH that starts it needs other programs
CHROMIUM ?= /usr/lib/chromium/chromium
STRACE ?= /usr/bin/strace
# pip of the outer Python works on the inner one, so a Python without ensurepip will do
INSTALL = $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check pip

.PHONY: demo test healthy divergence upgrades simulate model soak soak-journal breaks datasette crash power bench check venv format clean

SEEDS ?= 1000

demo: $(VENV)/demo
	$(BIN)/handoff-journal demo $(ARGS)

test: $(VENV)/dev
	$(BIN)/python -m pytest $(ARGS)

soak: $(VENV)/dev
	$(BIN)/python -m tests.soak_hermes $(ARGS)

soak-journal: $(VENV)/dev
	$(BIN)/python -m tests.soak.herd $(ARGS)

breaks: $(VENV)/dev
	$(BIN)/python -m tests.breaks $(ARGS)

datasette: $(VENV)/dev
	$(PYTHON) -m venv --without-pip build/datasette
	$(PYTHON) -m pip --python build/datasette/bin/python install --quiet --disable-pip-version-check datasette
	$(BIN)/python -m tests.datasette build/datasette/bin/datasette

healthy: $(VENV)/dev
	HEALTHY_DAYS=3000 $(BIN)/python -m pytest -q tests/property/test_divergence.py
	$(BIN)/python -m tests.e2e.healthy $(ARGS)

divergence: $(VENV)/dev
	EVERY_FAULT=1 $(BIN)/python -m pytest tests/e2e/test_divergence.py $(ARGS)

simulate: $(VENV)/dev
	$(BIN)/python -m tests.sim $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(ARGS)
	$(if $(SEED),,$(BIN)/python -m tests.model --large)

.PHONY: mutants
mutants: $(VENV)/dev
	$(BIN)/python -m tests.sim.mutants $(ARGS)

model: $(VENV)/dev
	$(BIN)/python -m tests.model $(ARGS)

crash: $(VENV)/dev
	$(BIN)/python -m tests.crash $(ARGS)

power: $(VENV)/dev $(STRACE)
	STRACE=$(STRACE) $(BIN)/python -m tests.power $(ARGS)

$(STRACE):
	apt-get update -qq -o Acquire::Retries=3
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Acquire::Retries=3 --no-install-recommends strace

.PHONY: systemd
systemd: $(VENV)/dev
	test -x /usr/lib/systemd/systemd || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd; }
	$(BIN)/python -m pytest -q tests/systemd/under_systemd.py $(ARGS)

.PHONY: pages picture incidents
pages: $(VENV)/dev $(CHROMIUM)
	CHROMIUM=$(CHROMIUM) $(BIN)/python -m pytest -q tests/pages/looked_at.py $(ARGS)

# docs/audit.png: what a phone and a desk show of a handoff that was rolled back
picture: $(VENV)/dev $(CHROMIUM)
	CHROMIUM=$(CHROMIUM) $(BIN)/python -m tests.pages docs/audit.png

$(CHROMIUM):
	apt-get update -qq -o Acquire::Retries=3
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Acquire::Retries=3 --no-install-recommends chromium fonts-dejavu-core

incidents: $(VENV)/dev
	$(BIN)/python -m tests.incidents $(ARGS)

upgrades: $(VENV)/dev
	EVERY_UPGRADE=1 $(BIN)/python -m pytest tests/e2e/test_upgrade.py $(ARGS)

.PHONY: kept-work
kept-work: $(VENV)/dev
	$(BIN)/python -m tests.e2e.kept_work --way reference $(ARGS)
	$(BIN)/python -m tests.e2e.kept_work --way hermes $(ARGS)
	$(BIN)/python -m tests.e2e.kept_work --way upgrade $(ARGS)

bench: $(VENV)/dev
	$(BIN)/python -m tests.bench --hermes $(ARGS)

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory test ARGS=--durations=25

venv: $(VENV)/dev

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/demo: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable '.[reference]'
	touch $@

$(VENV)/dev: pyproject.toml | $(BIN)/python
	$(INSTALL) --editable '.[reference,dev]'
	touch $@ $(VENV)/demo
