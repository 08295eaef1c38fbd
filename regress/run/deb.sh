#!/usr/bin/env bash
# `make deb`: a Debian package for each PostgreSQL that is there with its headers, into regress/package. It needs the packages
# debhelper, postgresql-server-dev-VERSION, postgresql-common-dev (where there is one), and what the README names for a build.
#
#	regress/run/deb.sh [FOLDER]		puts them elsewhere
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

main()
{
	local folder version

	folder=$(cd "${1:-$TOP/regress/package}" && pwd)
	version=$(control default_version)
	command -v dh >/dev/null || die "debhelper is missing: apt-get install debhelper"
	command -v pg_buildext >/dev/null || die "pg_buildext is missing: apt-get install postgresql-common-dev"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	copy_tree "$work/neon-auth-fdw"
	cd "$work/neon-auth-fdw"
	mv regress/package/debian debian
	cp LICENSE debian/copyright
	printf 'neon-auth-fdw (%s) unstable; urgency=medium\n\n  * See docs/changelog.md.\n\n -- neon_auth_fdw contributors <neon_auth_fdw@localhost>  %s\n' \
		"$version" "$(date -R)" >debian/changelog
	pg_buildext updatecontrol
	dpkg-buildpackage -b -us -uc -d >"$work/log" 2>&1 || {
		tail -n 40 "$work/log" >&2
		die "the package could not be built"
	}
	cp "$work"/*.deb "$folder/"
	printf '%s\n' "$folder"/postgresql-*-neon-auth-fdw_*.deb
}

main "$@"
