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

# What `make run` runs: with malloc for Python's small objects too, which it otherwise takes from arenas of its own.
CMD ?= env PYTHONMALLOC=malloc python3 bench/run_json.py

.PHONY: all test run install uninstall single-file clean help

all:
	@tools/setup build
	@$(call configure,$(RELEASE),Release)
	@$(call compile,$(RELEASE))

# In debug without the longest of them, and without those of what is the same in each build.
test:
	@tools/setup build run test package bindings site
	@$(call configure,$(RELEASE),Release,-DHAK_TESTS=ON)
	@$(call compile,$(RELEASE))
	@$(call configure,$(DEBUG),Debug,-DHAK_TESTS=LIBRARY -DHAK_BENCH=OFF)
	@$(call compile,$(DEBUG))
	@$(call ctest,$(RELEASE))
	@$(call ctest,$(DEBUG)) -LE long

run: all
	@tools/setup run
	$(RELEASE)/hakmem run --stats -- $(CMD)

install:
	@tools/setup build
	@$(call configure,$(RELEASE),Release,-DCMAKE_INSTALL_PREFIX=$(PREFIX) -DHAK_BENCH=ON)
	@$(call compile,$(RELEASE))
	@DESTDIR=$(DESTDIR) cmake --install $(RELEASE)
	@test -n "$(DESTDIR)" || ldconfig 2>/dev/null || echo "hakmem is installed; as root, ldconfig tells the loader"

# What `make install` has listed, and the directories that are empty then and have its name.
uninstall:
	@test -e $(RELEASE)/install_manifest.txt || { echo "no $(RELEASE)/install_manifest.txt: 'make install' was not run here"; exit 1; }
	@sed 's|^|$(DESTDIR)|' $(RELEASE)/install_manifest.txt | xargs -d '\n' rm -fv
	@sed -n 's|\(.*/hakmem\)/.*|$(DESTDIR)\1|p' $(RELEASE)/install_manifest.txt | sort -ru | \
	    xargs -d '\n' -I {} sh -c 'test ! -d "$$1" || find "$$1" -depth -type d -empty -delete' sh {}
	@test -n "$(DESTDIR)" || ldconfig 2>/dev/null || true

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
	@echo "make bench            measure the machine, hakmem and other allocators: ten minutes, and a report in $(BUILD)/bench"
	@echo "make bench-full       every variant and program, longer and more often: hours"
	@echo "make bench-check      is the working tree slower or larger than the commit AGAINST=$(AGAINST)?"
	@echo "make scale            how costs grow with heap, threads and cores, on hakmem and on libc's malloc: minutes"
	@echo "make retention        what the law of retention keeps, and the best that could have been done: minutes"
	@echo "make world            40 programs and more of Debian's packages on hakmem and on glibc: half an hour"
	@echo "make recipes          the services of docs/recipes.md, in a Debian that is made for them: minutes, as root"
	@echo "make install          install below PREFIX=$(PREFIX), inside DESTDIR= if given"
	@echo "make uninstall        remove what make install has put there"
	@echo "make deb, rpm or apk  build packages for this system, in $(BUILD)/deb, $(BUILD)/rpm or $(BUILD)/apk"
	@echo "make site             write the documentation as web pages, in $(BUILD)/site"
	@echo "make dist             write the source tarball into $(BUILD)/dist"
	@echo "make single-file      write the library as one C file, for programs that compile it in"
	@echo "make clean            remove $(BUILD)"
	@echo "variables: BUILD=$(BUILD) JOBS=$(JOBS) CC= CXX= CMAKE_ARGS='-DHAK_WERROR=ON ...' CTEST_ARGS='-R name ...'"
	@echo "           ARGS='--only redis ...' for bench, bench-full, bench-check, scale, retention, world; ARGS=--help lists them"

# ---- The documentation as web pages (tools/site) ----------------------------------------------------------------------

.PHONY: site

# The manual pages are written when the build is configured.
site:
	@tools/setup build run site
	@$(call configure,$(RELEASE),Release)
	@python3 -B tools/site/site.py . $(BUILD)/site $(RELEASE)/man/*
	@echo "written: $(BUILD)/site/index.html"

# ---- Packages (packaging/) -------------------------------------------------------------------------------------------

.PHONY: dist deb rpm apk recipes

dist:
	@packaging/dist $(BUILD)/dist

# lintian's word is the last: nothing, or what is to be mended.
deb:
	@tools/setup build run deb
	@packaging/deb $(BUILD)/deb -j$(JOBS)
	@lintian --allow-root --fail-on error,warning $(BUILD)/deb/*.changes
	@ls $(BUILD)/deb/*.deb

# --nodeps on systems with other packages than rpm's: what is needed was asked for above.
rpm:
	@tools/setup build run rpm
	@packaging/rpm $(BUILD)/rpm $(if $(wildcard /var/lib/dpkg/status),--nodeps)
	@ls $(BUILD)/rpm/*.rpm

# On Alpine, with alpine-sdk and a key (abuild-keygen -a -n); anywhere else it says so.
apk:
	@packaging/apk $(BUILD)/apk $(if $(filter 0,$(shell id -u)),-F)
	@find $(BUILD)/apk -name '*.apk'

# The services of docs/recipes.md, in a Debian of their own; as root.
recipes:
	@tools/setup build run deb recipes
	@packaging/deb $(BUILD)/deb -j$(JOBS) >/dev/null 2>&1 || { echo "the packages cannot be built: make deb says why"; exit 1; }
	@python3 -B test/package/recipes.py . $(BUILD)

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

# ---- What the law of retention keeps (docs/measuring.md). ARGS passes names and options on -----------------------------

.PHONY: retention

retention:
	@tools/setup build run test bench
	@$(call configure,$(RELEASE),Release,-DHAK_TESTS=ON)
	@$(call compile,$(RELEASE)) --target hakmem-retention hakmem-recorder
	@python3 -B bench/retention/retention.py --simulator $(RELEASE)/bench/hakmem-retention \
	    --recorder $(RELEASE)/bench/hakmem-recorder.so --folder $(BUILD)/retention $(ARGS)

# ---- The programs themselves (test/world). ARGS passes options on: make world ARGS='--quick' --------------------------

.PHONY: world

# What only tells needs no packages.
world_needs = $(if $(filter --list --help -h,$(ARGS)),,$(if $(filter --quick,$(ARGS)),world-quick,world))

world: all
	@tools/setup run $(world_needs)
	@python3 -B test/world/world.py --library $(RELEASE)/libhakmem.so --output $(BUILD)/world $(ARGS)
