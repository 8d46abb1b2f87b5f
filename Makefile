# Everything a user types. `make help` lists it; the variables are explained in README.md.
PYTHON ?= python3
VENV := .venv
PY := PYTHONPATH=. $(VENV)/bin/python
COMMAND := $(PY) -m datasets.launch
READY := $(VENV)/.ready

# Debian's python3 comes without what venv needs.
VENV_HELP = rm -rf $(VENV); test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq python3-venv \
	&& $(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) has no venv; Debian, Ubuntu: apt-get install python3-venv" >&2; \
	exit 2; }

option = $(if $($(1)),--$(2) "$($(1))")
DATA_OPTIONS = $(call option,DATA,data) $(call option,KEYWORDS,keywords)
NET_OPTIONS = $(call option,RUN,run) $(call option,MODEL,model)
KERNEL_OPTIONS = $(call option,KERNELS,kernels) $(call option,CMSIS_NN,cmsis-nn)

.DEFAULT_GOAL := help
.PHONY: help setup data grow-kws export-mcu simulate emulate board-test flash arduino verify stream boards cost compare publish results calibrate bench bench-training bench-index bench-ranges bench-silence bench-export test test-slow lint test-tools clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## The virtual environment and the compilers (every target does this by itself)

$(READY): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than 3.11; choose another by PYTHON=python3.11" >&2; exit 2; }
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV) || { $(VENV_HELP); }
	@echo "setting up $(VENV): PyTorch, TensorFlow and the rest, a minute or more"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[test]'
	@$(PY) -m export.toolchain
	@touch $@

data: $(READY) ## Counts of DATA by split and label [DATA KEYWORDS]
	@$(COMMAND) datasets.load $(DATA_OPTIONS)

grow-kws: $(READY) ## Grow a net; resumes where it was stopped [DATA KEYWORDS BOARD KERNELS BUDGET METHOD INDEX SPEND SEED DEVICE SILENCE NOISE VOICE UNKNOWN TEACHER TAUGHT_EPOCHS RANGES QAT RUN]
	@$(COMMAND) kws_grow.grow $(DATA_OPTIONS) $(call option,BOARD,board) $(call option,BUDGET,budget) \
		$(call option,KERNELS,kernels) $(call option,METHOD,method) $(call option,SPEND,spend) $(call option,SEED,seed) $(call option,SEED_WIDTHS,seed-widths) \
		$(call option,SEED_DEPTHS,seed-depths) $(call option,SEED_STRIDES,seed-strides) $(call option,INDEX,index) \
		$(call option,REFERENCE,reference) $(call option,GROWING_LR,growing-lr) $(call option,PEAK_LR,peak-lr) \
		$(call option,DEVICE,device) $(call option,SILENCE,silence) $(call option,NOISE,noise) \
		$(call option,VOICE,voice) $(call option,UNKNOWN,unknown) \
		$(call option,TEACHER,teacher) $(call option,TAUGHT_EPOCHS,taught-epochs) \
		$(call option,TAUGHT_LR,taught-lr) $(call option,RANGES,ranges) $(call option,QAT,qat) $(call option,RUN,run)

export-mcu: $(READY) ## .tflite, ONNX, C and the firmware image, in build/RUN/BOARD [RUN MODEL BOARD KERNELS CMSIS_NN]
	@$(COMMAND) export.mcu $(NET_OPTIONS) $(KERNEL_OPTIONS) $(call option,BOARD,board)

simulate: $(READY) ## Accuracy of the int8 net on the host, bit for bit, in ONNX Runtime [RUN MODEL DATA CLIPS LABELS]
	@$(COMMAND) export.simulate $(NET_OPTIONS) $(call option,DATA,data) $(call option,CLIPS,clips) $(call option,LABELS,labels)

emulate: $(READY) ## The firmware on an emulated Cortex-M: same clips, same bits [RUN MODEL BOARD DATA CLIPS LIMIT KERNELS CMSIS_NN]
	@$(COMMAND) export.emulate $(NET_OPTIONS) $(KERNEL_OPTIONS) $(call option,BOARD,board) $(call option,DATA,data) \
		$(call option,CLIPS,clips) $(call option,LIMIT,limit)

board-test: $(READY) ## The firmware on a BOARD behind a serial PORT: same clips, same bits [PORT BOARD RUN MODEL DATA CLIPS LIMIT KERNELS CMSIS_NN]
	@$(COMMAND) export.board_test $(NET_OPTIONS) $(KERNEL_OPTIONS) $(call option,PORT,port) $(call option,BOARD,board) \
		$(call option,DATA,data) $(call option,CLIPS,clips) $(call option,LIMIT,limit)

flash: $(READY) ## The net's firmware onto a BOARD, by its usual tool; or the one in a folder IMAGE [BOARD PORT RUN MODEL KERNELS CMSIS_NN IMAGE]
	@$(COMMAND) export.flash $(NET_OPTIONS) $(KERNEL_OPTIONS) $(call option,BOARD,board) $(call option,PORT,port) \
		$(call option,IMAGE,image)

arduino: $(READY) ## The net as a library for the Arduino IDE, with a sketch that listens [RUN MODEL KERNELS]
	@$(COMMAND) export.arduino $(NET_OPTIONS) $(call option,KERNELS,kernels)

verify: $(READY) ## Every row through TFLite Micro, ONNX, host C, every core [RUN MODEL CLIPS INPUTS SEED LIMIT BOARD KERNELS CMSIS_NN]
	@$(COMMAND) export.verify $(NET_OPTIONS) $(KERNEL_OPTIONS) $(call option,CLIPS,clips) $(call option,INPUTS,inputs) \
		$(call option,SEED,seed) $(call option,LIMIT,limit) $(call option,BOARD,board)

stream: $(READY) ## Long audio through host C: false accepts an hour, false rejects, latency; picks the threshold [RUN MODEL DATA LABELS FA_PER_HOUR MINUTES]
	@$(COMMAND) export.stream $(NET_OPTIONS) $(call option,DATA,data) $(call option,LABELS,labels) \
		$(call option,FA_PER_HOUR,fa-per-hour) $(call option,MINUTES,minutes)

boards: $(READY) ## The boards there are, and what fits each [RUN MODEL KERNELS]
	@$(COMMAND) export.board_list $(NET_OPTIONS) $(call option,KERNELS,kernels)

cost: $(READY) ## Cost of a net on a BOARD, by layer, with a chart; battery days at RATE [RUN MODEL BOARD KERNELS RATE BATTERY]
	@$(COMMAND) export.cost_report $(NET_OPTIONS) $(call option,BOARD,board) $(call option,KERNELS,kernels) \
		$(call option,RATE,rate) $(call option,BATTERY,battery)

compare: $(READY) ## Methods over seeds, only what is missing: docs/results/compare [METHODS SEEDS BUDGET JOBS DATA DEVICE RERUN DRAW]; or finished runs side by side [RUNS CMSIS_NN]
ifdef RUNS
	@$(COMMAND) export.compare $(call option,RUNS,runs) $(call option,CMSIS_NN,cmsis-nn)
else
	@$(COMMAND) kws_grow.compare $(call option,METHODS,methods) $(call option,SEEDS,seeds) $(call option,BUDGET,budget) \
		$(call option,JOBS,jobs) $(call option,DATA,data) $(call option,DEVICE,device) $(call option,RERUN,rerun) \
		$(call option,DRAW,draw)
endif

publish: $(READY) ## A finished run to models/NAME.tflite, .safetensors and its model card [RUN NAME DATA]
	@$(COMMAND) kws_grow.publish $(call option,RUN,run) $(call option,NAME,name) $(call option,DATA,data)

results: $(READY) ## Grows the nets of kws_grow/recipes.py, only what is missing; models/, docs/results/index.html [NAMES SEEDS JOBS DATA DEVICE RERUN DRAW]
	@$(COMMAND) kws_grow.results $(call option,NAMES,names) $(call option,SEEDS,seeds) $(call option,JOBS,jobs) \
		$(call option,DATA,data) $(call option,DEVICE,device) $(call option,RERUN,rerun) $(call option,DRAW,draw)

calibrate: $(READY) ## Counts layers on an emulated CORE and fits what they cost: export/costs [CORE KERNELS CMSIS_NN]
	@$(COMMAND) export.calibrate $(call option,CORE,core) $(KERNEL_OPTIONS)

bench: $(READY) ## Instructions and bytes of a net by every kernel set on every core, with a chart [RUN MODEL CORE CMSIS_NN]
	@$(COMMAND) export.kernel_bench $(NET_OPTIONS) $(call option,CORE,cores) $(call option,CMSIS_NN,cmsis-nn)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -o addopts= -o filterwarnings=default -o python_files='bench_*.py' -o python_functions='bench_*' \
		--import-mode=importlib --benchmark-columns=min,mean,stddev,rounds --benchmark-json=build/bench/host.json tests/benchmarks

bench-training: $(READY) ## Clips a second of training a 64-channel DS-CNN [DEVICE]
	@$(COMMAND) kws_grow.bench $(call option,DEVICE,device)

bench-export: $(READY) ## Seconds of an export; clips a second of host C and ONNX Runtime [RUN MODEL]
	@$(COMMAND) export.bench $(NET_OPTIONS)

bench-index: $(READY) ## Predicted against realised changes of the loss, split by split; exact against stochastic [DATA SEEDS INDEX CURVATURE]
	@$(COMMAND) kws_grow.bench_index $(call option,DATA,data) $(call option,SEEDS,seeds) $(call option,INDEX,index) \
		$(call option,CURVATURE,curvature)

bench-silence: $(READY) ## What learning each SILENCE is worth on noise that training did not hear [DATA SEEDS]
	@$(COMMAND) kws_grow.bench_silence $(call option,DATA,data) $(call option,SEEDS,seeds)

bench-ranges: $(READY) ## Float against int8 by every method of ranges, and fine-tuned, of a committed net [DATA]
	@$(COMMAND) kws_grow.bench_ranges $(call option,DATA,data)

test: lint test-tools ## Every quick test
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 -m "not slow"

test-slow: lint test-tools ## Every test, the long fuzzing and sweeps too
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2

lint: $(READY)
	@$(VENV)/bin/ruff check --quiet .

test-tools: $(READY)
	@$(PY) -m export.toolchain clang

clean: ## Remove what was exported, simulated and emulated (build/cache/, runs/, data/ and .venv/ stay)
	@find build -mindepth 1 -maxdepth 1 ! -name cache -exec rm -rf {} + 2>/dev/null || true
