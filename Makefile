# Everything a developer can do here; `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help run test check format bench bench-detection crash-test record image-check lock service dashboard simulator

help: ## what can be done
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "make %-16s %s\n", $$1, $$2}'

run: .venv/ready ## the whole product on http://127.0.0.1:8000
	$(BIN)/streamlit run app.py

test: .venv/ready-dev ## all tests, a few minutes
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not browser and not crash"
	$(BIN)/python -m pytest -m "browser or crash" tests/crash tests/browser

check: .venv/ready-dev ## format, lint, types, imports, sizes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.house

format: .venv/ready-dev ## put every file into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/ready-dev ## the figures: hot path, store, pipeline, pixels, split mode
	$(BIN)/python -m benchmarks.hot_path
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.tick
	$(BIN)/python -m benchmarks.training_delay
	$(BIN)/python -m benchmarks.pixels
	$(BIN)/python -m benchmarks.hop

bench-detection: .venv/ready-dev ## how good detection is on simulated fleets, about ten minutes
	$(BIN)/python -m benchmarks.detection

crash-test: .venv/ready-dev ## kill -9 twenty times under load
	KILLS=20 $(BIN)/python -m pytest tests/crash -s

image-check: .venv/ready-dev ## build the image, start it as docker compose would, look at it (needs root)
	$(BIN)/python -m tests.deployment.image_check

lock: ## pin what the image installs, with hashes, from requirements.txt
	tool=$$(mktemp -d) && trap 'rm -rf "$$tool"' EXIT \
	  && $(PYTHON) -m venv $$tool && $$tool/bin/pip install --quiet --disable-pip-version-check uv==0.13.9 \
	  && $$tool/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	       --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	       --output-file requirements.lock requirements.txt

record: .venv/ready-dev ## write down what the InfluxDB in INFLUXDB_URL answers to the store contract
	rm -f tests/contracts/recorded/*.json.gz
	RECORD=1 $(BIN)/python -m pytest tests/contracts -k recorded

service: .venv/ready ## the service without pages
	$(BIN)/python -m monitor_core

dashboard: .venv/ready ## the pages of the service at BACKEND_URL, on http://127.0.0.1:4173
	MONITOR_ROLE=dashboard $(BIN)/streamlit run app.py --server.port 4173

simulator: .venv/ready ## post simulated samples to BACKEND_URL
	$(BIN)/python -m simulator

.venv/ready: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/ready-dev: .venv/ready requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
