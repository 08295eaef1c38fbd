#!/usr/bin/env bash
# Look for words that codespell knows to be misspelled, in all texts; names that are not ours are let pass.
set -euo pipefail
cd "$(dirname "$0")/../.."

exec codespell --quiet-level 3 --ignore-words-list inout,isnt,te,degress,siz,ines \
	--skip '*.json,*.svg,*.o,*.so,*.bc,./.git,node_modules,./regress/*/build,./regress/bench/out' .
