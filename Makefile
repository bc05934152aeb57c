# Motet. `make demo` and `make test` install what is missing, build, and run; `make help` lists the rest.

SHELL := /bin/bash
BUILD := build
VENV := $(BUILD)/venv
JOBS := $(shell nproc)
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
export CC := $(shell command -v clang-19 || echo cc)
export CXX := $(shell command -v clang++-19 || echo c++)

.PHONY: help setup setup-test build demo serve test unit sanitize asan tsan tidy format bench \
        bench-golden bench-onnx bench-precision bench-zoo bench-wire bench-replay bench-steps bench-load bench-many bench-vopr zoo \
        check-zoo clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## install the packages that building needs
	@tools/setup.sh build

setup-test: setup ## and those that tests and benches need (a Python environment in build/venv)
	@tools/setup.sh test

build: setup ## build/motet and build/motet-vopr
	@tools/say "building (the first time takes some minutes)"
	@$(MAKE) --no-print-directory compile

.PHONY: compile
# A second make, so that CC and CXX see the compiler that setup has just installed.
compile:
	@cmake --preset release $(if $(wildcard $(BUILD)/build.ninja),> $(BUILD)/configure.log)
	@cmake --build $(BUILD) --parallel $(JOBS)

demo: build ## serve the shipped models, recognise photos, sound and files, load the server, print the table
	@demo/run.sh

serve: build ## the demo, and leave the server running
	@demo/run.sh --keep

unit: setup-test build ## every test but the sanitizer builds
	@ctest --test-dir $(BUILD) --output-on-failure --parallel $(JOBS)

sanitize: setup ## the light rooms under address, undefined and thread sanitizers
	@$(MAKE) --no-print-directory sanitize-light

.PHONY: sanitize-light
sanitize-light:
	@for kind in asan tsan; do \
	  tools/say "$$kind build of the light rooms" && \
	  cmake --preset $$kind-light > /dev/null && cmake --build $(BUILD)/$$kind-light --parallel $(JOBS) && \
	  tools/without-aslr ctest --test-dir $(BUILD)/$$kind-light --output-on-failure --parallel $(JOBS) || exit 1; \
	done

test: unit sanitize ## every test (what CI runs)

asan: setup-test ## all tests, our code under address and undefined sanitizers; without OpenVINO, whose TBB they cannot load
	@cmake --preset asan > /dev/null && cmake --build $(BUILD)/asan --parallel $(JOBS)
	@MOTET_OPENVINO_DIR=none tools/without-aslr ctest --test-dir $(BUILD)/asan --output-on-failure

tsan: setup-test ## loop, pool, observe, engine, oneDNN's kernels and serve under the thread sanitizer
	@cmake --preset tsan-light > /dev/null && cmake --build $(BUILD)/tsan-light --parallel $(JOBS)
	@tools/without-aslr ctest --test-dir $(BUILD)/tsan-light --output-on-failure
	@cmake --preset tsan > /dev/null && cmake --build $(BUILD)/tsan --parallel $(JOBS) --target engine_test onednn_test serve_test
	@MOTET_OPENVINO_DIR=none tools/without-aslr ctest --test-dir $(BUILD)/tsan --output-on-failure -R '^(engine|onednn|serve)$$'

tidy: build ## clang-tidy over src/
	@tools/tidy.sh $(BUILD)

format: ## clang-format over src/
	@git ls-files 'src/*.h' 'src/*.cpp' | xargs clang-format-19 -i

bench: bench-golden bench-onnx bench-precision bench-wire bench-replay bench-vopr bench-zoo bench-steps bench-load bench-many ## every bench below (two hours)

bench-golden: build setup-test ## every shipped model against its golden outputs; ten photos over both protocols
	@$(VENV)/bin/python bench/golden/bench_golden.py

bench-precision: build setup-test ## what bf16 and int8 do to answers: ten photos, CIFAR-10 images, NCF; the speed of int8 of fp32 models
	@$(VENV)/bin/python bench/precision/bench_precision.py

bench-zoo: build zoo ## the zoo against ONNX Runtime and OpenVINO, interleaved: 40 minutes, and goes on where it was cut off
	@$(BUILD)/zoo-venv/bin/python bench/zoo/bench_zoo.py

check-zoo: build zoo ## the full models' outputs against ONNX Runtime's, at every batch and length
	@$(BUILD)/zoo-venv/bin/python bench/zoo/bench_zoo.py --check

bench-wire: build setup-test ## the recorded answers of a real Triton against ours
	@$(VENV)/bin/python bench/wire/bench_wire.py

bench-onnx: build setup-test ## every case of the ONNX node suite: none wrong, none crashes, the share that runs natively
	@$(VENV)/bin/python bench/onnx/bench_onnx.py

bench-replay: build setup-test ## 60 s recorded live, replayed in another process
	@$(VENV)/bin/python bench/replay/bench_replay.py

bench-steps: build setup-test ## what slices cost, how soon programs yield, that bits hold; over the models of `make zoo`
	@$(VENV)/bin/python bench/steps/bench_steps.py

bench-load: build setup-test ## load call to first answer and memory, ours over ONNX Runtime's; over the models of `make zoo`
	@$(VENV)/bin/python bench/load/bench_load.py

bench-many: build setup-test ## 200 models under a budget that holds 50: what the cold cost the hot (12 minutes)
	@$(VENV)/bin/python bench/many/bench_many.py

bench-vopr: build ## 2,000 seeded runs of the serving loop in virtual time, with faults
	@$(BUILD)/motet-vopr --seeds 2000

zoo: ## export 20 architectures from PyTorch to build/zoo, for benches (PyPI's torch takes 6 GB; the models 3.5 GB)
	@tools/setup.sh zoo
	@$(BUILD)/zoo-venv/bin/python tools/zoo/export.py $(BUILD)/zoo --missing

clean: ## remove what was built
	rm -rf $(BUILD)
