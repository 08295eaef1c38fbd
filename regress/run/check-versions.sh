#!/usr/bin/env bash
# `make check-versions`: `make check` on other releases of Debian, and so with other versions of PostgreSQL and of the
# libraries, each release in a folder of its own. DEBIAN_RELEASES names them (trixie has PostgreSQL 17, sid has 18).
# There the Debian package is then built and installed, and pg_virtualenv creates the extension from it. The last line and
# the exit code are those of `make check`, of all releases together.
#
# It needs root, or sudo: a folder with a system is made and entered by root alone. The folder is all that root writes.
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

passed=0
failed=0

# Runs COMMAND in the folder ROOT, with mounts and processes of its own, which end with it.
inside()
{
	local root=$1

	shift
	# shellcheck disable=SC2016 # for the shell that it starts
	unshare --mount --pid --fork --kill-child sh -c '
		root=$1
		shift
		mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
		exec chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"' \
		inside "$root" ${registry:+npm_config_registry="$registry"} ${authorities:+npm_config_cafile="$authorities"} "$@" </dev/null
}

# A folder with the release and a copy of the tree.
make_release()
{
	local root=$1 release=$2

	debootstrap --variant=minbase --include=ca-certificates,make "$release" "$root" >"$root.log" 2>&1 || {
		tail -n 30 "$root.log"
		return 1
	}
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	[[ -z $authorities ]] || cp "$(npm config get cafile)" "$root$authorities"
	# a mirror may be weeks behind, which of this folder is nobody's danger
	echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/99valid-until"
	copy_tree "$root/srv/neon_auth_fdw"
}

# As anybody would do it: the release is ours.
package_works()
{
	inside "$1" sh -ec '
		cd /srv/neon_auth_fdw
		make deb
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends ./regress/package/postgresql-*-neon-auth-fdw_*.deb
		pg_virtualenv -t psql -Xq -v ON_ERROR_STOP=1 -c "CREATE EXTENSION neon_auth_fdw" -c "SELECT version(), count(*) FROM neon_auth.providers()"'
}

check_release()
{
	local release=$1 root=$work/$1 counts

	say "Debian $release"
	if make_release "$root" "$release"; then
		inside "$root" make --no-print-directory -C /srv/neon_auth_fdw check 2>&1 | tee "$root.out" || true
	fi
	# of the last such line, for make has a word to say where something has failed
	counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$root.out" 2>/dev/null | tail -n 1)
	[[ -n $counts ]] || counts='0 1'
	passed=$((passed + ${counts% *}))
	failed=$((failed + ${counts#* }))
	say "Debian $release: package"
	if package_works "$root"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
	rm -rf --one-file-system "$root"
}

main()
{
	local release

	work=$(mktemp -d /tmp/nauth.XXXXXX)
	trap 'rm -rf --one-file-system "$work"' EXIT
	install_missing debootstrap
	# an npm registry of one's own, and whom it is trusted by
	registry=$(npm config get registry 2>/dev/null || true)
	authorities=
	[[ ! -f $(npm config get cafile 2>/dev/null || true) ]] || authorities=/etc/npm-authorities.pem
	for release in ${DEBIAN_RELEASES:-trixie sid}; do
		check_release "$release"
	done
	printf '\n%d passed, %d failed\n' "$passed" "$failed"
	((passed > 0 && failed == 0))
}

if ((EUID == 0)); then
	main
else
	exec sudo --preserve-env=DEBIAN_RELEASES "$TOP/regress/run/check-versions.sh"
fi
