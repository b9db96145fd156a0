# Everything from a Python 3.11 to 3.14 and make: uv comes into .uv, the packages into .venv.
#   make demo | up | test | check | chaos        PYTHON=/path/to/python3.12 make test
#   make test ARGS="-k refund"
#   make bench QUICK=1 ONLY=append     figures, see tests/benchmarks/README.md
#   make chaos SEED=7 SECONDS=600 KILLS=1000 ORDERS=5000       ONLY=storm or ONLY=hostile

UV_VERSION := 0.13.8
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
BASE := import sys; print(getattr(sys, "_base_executable", sys.executable))
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	if "$$python" -c '$(SUPPORTED)' 2>/dev/null; then "$$python" -c '$(BASE)'; break; fi; done)

export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

# Where the machine has certificates of its own (a company's proxy), uv trusts them as pip does.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= true
endif

# A home that is missing or read-only gets no cache; this folder does.
ifeq ($(origin UV_CACHE_DIR),undefined)
ifneq ($(shell cache="$${XDG_CACHE_HOME:-$${HOME:+$$HOME/.cache}}"; test -n "$$cache" \
	&& mkdir -p "$$cache/uv" 2>/dev/null && test -w "$$cache/uv" && echo yes),yes)
export UV_CACHE_DIR := .uv/cache
endif
endif

UV := .uv/bin/uv
UV_STAMP := .uv/.uv-$(UV_VERSION)
ENV_STAMP := .venv/.synced
BIN := .venv/bin

.DELETE_ON_ERROR:
.PHONY: demo up test check chaos bench install clean

demo: install
	$(BIN)/loop demo $(ARGS)

up: install
	$(BIN)/loop up $(ARGS)

test: install
	$(BIN)/pytest -n 3 --dist loadfile $(ARGS)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyrefly check
	$(BIN)/lint-imports
	$(UV) lock --check --offline
	$(BIN)/pytest -n 3 --dist loadfile $(ARGS)

SEED ?= 1
SECONDS ?= 60

chaos: install
	$(BIN)/python -m tests.chaos.run --seed $(SEED) --seconds $(SECONDS) $(if $(KILLS),--kills $(KILLS)) \
		$(if $(ORDERS),--orders $(ORDERS)) $(if $(ONLY),--only $(ONLY)) $(ARGS)

bench: install
	$(UV) sync --frozen --inexact --quiet --group bench
	$(BIN)/python -m tests.benchmarks.run $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(ARGS)

install: $(ENV_STAMP)

clean:
	rm -rf .venv .uv

$(ENV_STAMP): $(UV_STAMP) pyproject.toml uv.lock
	$(UV) sync --frozen --python "$(PYTHON)"
	@touch $@

$(UV_STAMP):
	@test -n "$(PYTHON)" || { echo "Loop needs Python 3.11 to 3.14 (or PYTHON=...)" >&2; exit 1; }
	rm -rf .uv/bin .uv/lib* .uv/include .uv/pyvenv.cfg
	"$(PYTHON)" -m venv .uv >/dev/null 2>&1 && .uv/bin/python -m pip install --quiet uv==$(UV_VERSION) \
	|| { rm -rf .uv/bin .uv/lib* .uv/pyvenv.cfg; \
	     "$(PYTHON)" -m pip install --quiet --target .uv uv==$(UV_VERSION); } \
	|| { echo "no uv: $(PYTHON) needs venv or pip (Debian: apt install python3-venv)" >&2; exit 1; }
	@touch $@
