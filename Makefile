# neon_auth_fdw: "make demo" shows it, "make check" proves it; both need only a
# Debian machine.  "make", "make install" and "make installcheck" are for a
# PostgreSQL of your own (PG_CONFIG=...).

EXTENSION = neon_auth_fdw
MODULE_big = $(EXTENSION)
SOURCES = $(wildcard cache/*.c fdw/*.c fdw/*/*.c)
HEADER_FILES = $(wildcard cache/*.h fdw/*.h fdw/*/*.h)
OBJS = $(SOURCES:.c=.o)
DATA = $(wildcard sql/$(EXTENSION)--*.sql)

# modules are opened RTLD_GLOBAL: export SQL functions and nothing else (before
# 16 the server does not say how to export one)
PG_CPPFLAGS = -I$(CURDIR) -I$(CURDIR)/fdw -DPGDLLEXPORT='__attribute__((visibility("default")))'
PG_CFLAGS = -std=gnu11 -fvisibility=hidden -Wall -Wextra -Wno-unused-parameter \
	-Wno-missing-field-initializers -Wno-sign-compare
SHLIB_LINK = -lcurl -ljansson -lhiredis -llz4 -lcrypto

# "sql" is the extension's own folder here, so tests live in regress
REGRESS = $(patsubst regress/sql/%.sql,%,$(wildcard regress/sql/*.sql))
REGRESS_OPTS = --inputdir=regress --outputdir=regress --load-extension=$(EXTENSION)
ISOLATION = $(patsubst regress/specs/%.spec,%,$(wildcard regress/specs/*.spec))
ISOLATION_OPTS = $(REGRESS_OPTS)
EXTRA_CLEAN = regress/results regress/output_iso regress/regression.diffs regress/regression.out

# these need no PostgreSQL, or bring their own
OWN_TARGETS = demo check check-versions dist deb soak freshness bench unit fuzz fuzz-smoke layers indent cppcheck analyze symbols scripts spelling coverage check-asserts check-sanitized check-valgrind
.PHONY: $(OWN_TARGETS)

ifeq (,$(filter $(OWN_TARGETS),$(MAKECMDGOALS)))
PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
$(OBJS): $(HEADER_FILES)
else
demo check check-versions dist deb soak layers indent cppcheck analyze symbols scripts spelling coverage:
	@regress/run/$@.sh
check-asserts check-sanitized check-valgrind:
	@NAUTH_SERVER=$@ regress/run/check-server.sh
freshness bench:
	@NAUTH_MEASURE=$@ regress/run/measure.sh
unit:
	@$(MAKE) -s -C regress/unit check
fuzz:
	@$(MAKE) -s -C regress/fuzz fuzz
fuzz-smoke:
	@$(MAKE) -s -C regress/fuzz smoke
endif
