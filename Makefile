# A thin front for CMake: `make help` lists the commands. Everything is built below $(BUILD).

# Another compiler (CC=clang; CMake finds it and CXX in the environment) has a directory of its own.
BUILD ?= build$(if $(filter default,$(origin CC)),,/$(notdir $(firstword $(CC))))
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
CMAKE_ARGS ?=
CTEST_ARGS ?=
RELEASE = $(BUILD)/release
DEBUG = $(BUILD)/debug

configure = cmake -S . -B $(1) -DCMAKE_BUILD_TYPE=$(2) $(3) $(CMAKE_ARGS) >/dev/null
# Without MAKEFLAGS and MAKELEVEL, because the make that CMake starts is no part of this one: it counts its own jobs.
compile = env -u MAKEFLAGS -u MAKELEVEL cmake --build $(1) -j$(JOBS)
ctest = ctest --test-dir $(1) -j2 --output-on-failure $(CTEST_ARGS)

# What `make run` runs. python3 by its own path, since a wrapper of that name would be one more program, with one more
# table; and with malloc for its small objects too, which it otherwise takes from arenas of its own.
CMD ?= env PYTHONMALLOC=malloc "$$(python3 -c 'import sys; print(sys.executable)')" bench/run_json.py

.PHONY: all test run install single-file clean help

all:
	@tools/setup build
	@$(call configure,$(RELEASE),Release)
	@$(call compile,$(RELEASE))

# In debug without the tests that take minutes and do not depend on the build: real programs, models, the lab.
test:
	@tools/setup build run test
	@$(call configure,$(RELEASE),Release,-DHAK_TESTS=ON)
	@$(call compile,$(RELEASE))
	@$(call configure,$(DEBUG),Debug,-DHAK_TESTS=ON)
	@$(call compile,$(DEBUG))
	@$(call ctest,$(RELEASE))
	@$(call ctest,$(DEBUG)) -LE 'real|model|lab|world'

run: all
	@tools/setup run
	$(RELEASE)/hakmem run --stats -- $(CMD)

install:
	@tools/setup build
	@$(call configure,$(RELEASE),Release,-DCMAKE_INSTALL_PREFIX=$(PREFIX) -DHAK_BENCH=ON)
	@$(call compile,$(RELEASE))
	@DESTDIR=$(DESTDIR) cmake --install $(RELEASE)

single-file:
	@tools/setup build run
	@$(call configure,$(RELEASE),Release)
	@$(call compile,$(RELEASE)) --target single-file
	@echo "written: $(RELEASE)/single-file/hakmem.c and hakmem.h"

clean:
	rm -rf $(BUILD)

help:
	@echo "make                  build the library and the command, in $(RELEASE)"
	@echo "make test             build and run all tests, release and debug"
	@echo "make run              run python3 on a large JSON document under hakmem and show the statistics"
	@echo "make run CMD='...'    run any other command that way"
	@echo "make bench            measure hakmem and other allocators: ten minutes, and a report in $(BUILD)/bench"
	@echo "make bench-full       every variant and program, longer and more often: hours"
	@echo "make bench-check      is the working tree slower or larger than the commit AGAINST=$(AGAINST)?"
	@echo "make scale            how costs grow with heap, threads and cores, on hakmem and on libc's malloc: minutes"
	@echo "make world            40 programs and more of Debian's packages on hakmem and on glibc: half an hour"
	@echo "make install          install below PREFIX=$(PREFIX), inside DESTDIR= if given"
	@echo "make single-file      write the library as one C file, for programs that compile it in"
	@echo "make clean            remove $(BUILD)"
	@echo "variables: BUILD=$(BUILD) JOBS=$(JOBS) CC= CXX= CMAKE_ARGS='-DHAK_WERROR=ON ...' CTEST_ARGS='-R name ...'"
	@echo "           ARGS='--only redis ...' for bench, bench-full, bench-check, scale, world; ARGS=--help lists them"

# ---- The bench lab (docs/measuring.md). ARGS passes options on: make bench ARGS='--only redis --rounds 9' ------------

.PHONY: bench bench-full bench-check bench-programs
ARGS ?=
AGAINST ?= HEAD
lab = python3 -B bench/lab/lab.py $(1) --tool $(RELEASE)/hakmem --hakmem $(RELEASE)/libhakmem.so --workloads $(RELEASE)/bench/hakmem-workloads

bench-programs:
	@tools/setup build run bench
	@$(call configure,$(RELEASE),Release,-DHAK_BENCH=ON)
	@$(call compile,$(RELEASE))

bench: bench-programs
	$(call lab,bench) --output $(BUILD)/bench $(ARGS)

bench-full: bench-programs
	$(call lab,bench) --full --output $(BUILD)/bench-full $(ARGS)

bench-check: bench-programs
	$(call lab,check) --against $(AGAINST) $(ARGS)

# ---- How costs grow (docs/measuring.md). ARGS passes names and options on: make scale ARGS='runs --max 50G' -----------

.PHONY: scale

# On hakmem, then on libc's malloc. What is wrong with ARGS is said once.
scale:
	@tools/setup build
	@$(call configure,$(RELEASE),Release,-DHAK_BENCH=ON)
	@$(call compile,$(RELEASE))
	@for library in $(RELEASE)/libhakmem.so ""; do \
	    LD_PRELOAD=$$library $(RELEASE)/bench/hakmem-scale $(or $(ARGS),all) || status=$$?; \
	    test "$$status" != 2 || exit 2; \
	    echo; \
	done; exit $${status:-0}

# ---- The programs themselves (test/world). ARGS passes options on: make world ARGS='--quick' --------------------------

.PHONY: world

# What only tells needs no packages.
world_needs = $(if $(filter --list --help -h,$(ARGS)),,$(if $(filter --quick,$(ARGS)),world-quick,world))

world: all
	@tools/setup run $(world_needs)
	@python3 -B test/world/world.py --library $(RELEASE)/libhakmem.so --output $(BUILD)/world $(ARGS)
