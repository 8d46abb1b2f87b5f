# Everything a user types. `make help` lists it; the variables are explained in README.md.
PYTHON ?= python3
VENV := .venv
PY := PYTHONPATH=. $(VENV)/bin/python
READY := $(VENV)/.ready

option = $(if $($(1)),--$(2) "$($(1))")
DATA_OPTIONS = $(call option,DATA,data) $(call option,KEYWORDS,keywords)
NET_OPTIONS = $(call option,RUN,run) $(call option,MODEL,model)

.DEFAULT_GOAL := help
.PHONY: help setup tools data grow-kws export-mcu simulate emulate test test-slow lint clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## The virtual environment and the compilers (every target does this by itself)

$(READY): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than 3.11; choose another by PYTHON=python3.11" >&2; exit 2; }
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV) || { sh .ci/tools python3-venv && $(PYTHON) -m venv $(VENV); }
	@echo "setting up $(VENV): PyTorch, TensorFlow and the rest, a minute or more"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[test]'
	@sh .ci/tools gcc gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm
	@touch $@

data: $(READY) ## Counts of DATA by split and label [DATA KEYWORDS]
	@$(PY) -m datasets.load $(DATA_OPTIONS)

grow-kws: $(READY) ## Grow a net; resumes where it was stopped [DATA KEYWORDS BOARD BUDGET METHOD SEED DEVICE RUN]
	@$(PY) -m kws_grow.grow $(DATA_OPTIONS) $(call option,BOARD,board) $(call option,BUDGET,budget) \
		$(call option,METHOD,method) $(call option,SEED,seed) $(call option,DEVICE,device) $(call option,RUN,run)

export-mcu: $(READY) ## .tflite, ONNX, C and the firmware image, in build/RUN/BOARD [RUN MODEL BOARD]
	@$(PY) -m export.mcu $(NET_OPTIONS) $(call option,BOARD,board)

simulate: $(READY) ## Accuracy of the int8 net on the host, bit for bit, in ONNX Runtime [RUN MODEL DATA CLIPS LABELS]
	@$(PY) -m export.simulate $(NET_OPTIONS) $(call option,DATA,data) $(call option,CLIPS,clips) $(call option,LABELS,labels)

emulate: $(READY) ## The firmware on an emulated Cortex-M: same clips, same bits [RUN MODEL BOARD DATA CLIPS LIMIT]
	@$(PY) -m export.emulate $(NET_OPTIONS) $(call option,BOARD,board) $(call option,DATA,data) \
		$(call option,CLIPS,clips) $(call option,LIMIT,limit)

test: lint ## Every quick test
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 -m "not slow"

test-slow: lint ## Every test, the long fuzzing and sweeps too
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2

lint: $(READY)
	@$(VENV)/bin/ruff check --quiet .

clean: ## Remove build/ (runs/, data/ and .venv/ stay)
	rm -rf build
