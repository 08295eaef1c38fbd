#!/usr/bin/env bash
# `make dist`: the sources of this version as a zip for PGXN, regress/package/neon_auth_fdw-VERSION.zip, with the META.json
# that PGXN asks for, made from the control file. Who has a checkout gets the files that git knows.
#
#	regress/run/dist.sh [FOLDER]		puts it elsewhere
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

main()
{
	local folder version name

	folder=$(cd "${1:-$TOP/regress/package}" && pwd)
	version=$(control default_version)
	name=neon_auth_fdw-$version
	command -v zip >/dev/null || die "zip is missing: apt-get install zip"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	copy_tree "$work/$name"
	sed "s/@VERSION@/$version/; s/@ABSTRACT@/$(control comment)/" "$TOP/regress/package/META.json.in" >"$work/$name/META.json"
	rm -f "$folder/$name.zip"
	(cd "$work" && zip -q -r -X "$folder/$name.zip" "$name")
	echo "$folder/$name.zip"
}

main "$@"
