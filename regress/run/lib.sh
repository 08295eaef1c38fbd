# shellcheck shell=bash disable=SC2034 # some variables are for those who read this file
# What demo.sh and check.sh share. Either of them starts twice: first as whoever called it, which installs missing
# packages and copies the tree into a new work folder; then from that copy, as an unprivileged user (PostgreSQL
# refuses root) who may write nowhere else. The second has NAUTH_WORK set. Nothing here may touch the installed
# PostgreSQL, listen on anything but loopback or a socket in the work folder, or leave a process behind.
#
# Copyright (c) 2026, neon_auth_fdw contributors

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

BUILD_PACKAGES=(build-essential 'libcurl4-openssl-dev|libcurl4-gnutls-dev' libjansson-dev libhiredis-dev liblz4-dev
	libssl-dev libmicrohttpd-dev ca-certificates curl redis-tools)
# VERSION stands for that of PostgreSQL.
CHECK_PACKAGES=(libipc-run-perl pg-bsd-indent cppcheck clang clang-tidy libclang-rt-dev openssl postgresql-VERSION-cron zip unzip codespell debhelper)
NODE_MAJOR=22
OLDEST_NODE=20

# What a script may ask run_in_work_folder for: packages to be unpacked into the work folder and not installed, since
# installing them would start a service; and files of the tree that its run makes and the caller gets into the checkout.
UNPACKED_PACKAGES=()
RESULTS=()

say()
{
	printf '\n== %s\n' "$*"
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# ---- First start: packages, the work folder, and away with the privileges

as_root()
{
	if ((EUID == 0)); then
		"$@"
	else
		sudo "$@"
	fi
}

unprivileged()
{
	if ((EUID == 0)); then
		setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups -- "$@"
	else
		"$@"
	fi
}

installed()
{
	[[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) == ?i* ]]
}

# The major version the distribution's package "postgresql" stands for; its own version begins with it.
pg_version()
{
	local version=${PG_VERSION:-}

	[[ -n $version ]] || version=$(dpkg-query -W -f '${Version}' postgresql 2>/dev/null || true)
	[[ -n $version ]] || version=$(apt-cache policy postgresql | awk '$1 == "Candidate:" { print $2 }')
	version=${version%%+*}
	[[ $version =~ ^[0-9]+$ ]] && echo "$version"
}

# Prints what is missing of the packages named; "a|b" is content with either.
missing_packages()
{
	local names name

	for names; do
		for name in ${names//|/ }; do
			if installed "$name"; then
				continue 2
			fi
		done
		echo "${names%%|*}"
	done
}

apt_install()
{
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
		-o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=600 "$@" >>"$work/apt.log" 2>&1
}

# Debian starts a server of its own with the first server package, unless this file says no. It goes again: what the
# machine's owner installs later is not our business.
installing=0
no_cluster=/etc/postgresql-common/createcluster.d/nauth.conf

apt_install_without_cluster()
{
	local status=0

	installing=1
	as_root mkdir -p "${no_cluster%/*}"
	echo "create_main_cluster = false" | as_root tee "$no_cluster" >/dev/null
	apt_install "$@" || status=$?
	allow_cluster
	return "$status"
}

allow_cluster()
{
	[[ -e $no_cluster ]] || return 0
	as_root rm -f "$no_cluster"
	as_root rmdir --ignore-fail-on-non-empty "${no_cluster%/*}"
	installing=0
}

install_missing()
{
	local missing how=apt_install

	mapfile -t missing < <(missing_packages "$@")
	((${#missing[@]})) || return 0
	((EUID == 0)) || command -v sudo >/dev/null || die "neither root nor sudo to install: ${missing[*]}"
	say "Installing ${missing[*]}"
	compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || how=apt_install_without_cluster
	as_root apt-get update -qq >>"$work/apt.log" 2>&1 && "$how" "${missing[@]}" && return
	tail -n 30 "$work/apt.log" >&2
	die "the packages could not be installed"
}

install_packages()
{
	PG_VERSION=$(pg_version) || {
		as_root apt-get update -qq
		PG_VERSION=$(pg_version) || die "no package postgresql to be found"
	}
	export PG_VERSION
	set -- "${@//VERSION/$PG_VERSION}" "postgresql-$PG_VERSION" "postgresql-server-dev-$PG_VERSION"
	# from 16 on the server brings it itself
	((PG_VERSION < 16)) || set -- "${@/#pg-bsd-indent/postgresql-server-dev-$PG_VERSION}"
	# from 18 on its compiler is a package of its own
	((PG_VERSION < 18)) || set -- "$@" "postgresql-$PG_VERSION-jit"
	unprivileged bash -c 'command -v npm' >/dev/null || set -- "$@" npm
	# Two of us at once: apt's own lock covers only a part, so the second waits here (and leaves no lock file).
	exec 9</var/lib/apt/lists
	flock 9
	install_missing "$@"
	exec 9<&-
}

# Unpacks the PACKAGEs into the work folder, where their programs are in usr/sbin and usr/bin of "unpacked".
unpack_packages()
{
	local package

	(($#)) || return 0
	mkdir "$work/debian" "$work/unpacked"
	for package; do
		(
			cd "$work/debian"
			apt-get download -qq "$package" || { as_root apt-get update -qq && apt-get download -qq "$package"; }
			dpkg-deb -x "$package"_*.deb "$work/unpacked"
		) >>"$work/apt.log" 2>&1 || {
			tail -n 30 "$work/apt.log" >&2
			die "package $package could not be unpacked"
		}
	done
}

# Copies the FILEs of the tree's copy that there are to the checkout.
bring_back()
{
	local file

	for file; do
		if [[ -f $work/tree/$file ]] && mkdir -p "$TOP/${file%/*}" && cp "$work/tree/$file" "$TOP/$file"; then
			echo "$file"
		fi
	done
}

# A path of a Unix socket has at most 107 bytes, so a deep TMPDIR will not do; nor one that the user cannot enter.
make_work_folder()
{
	local parent=${TMPDIR:-/tmp}

	if ((${#parent} > 50)) || ! unprivileged test -x "$parent"; then
		parent=/tmp
	fi
	mktemp -d "$parent/nauth.XXXXXX"
}

# The files of the checkout without what was built there.
tree_files()
{
	local file

	if [[ -e .git ]] && git -c safe.directory='*' ls-files -z -co --exclude-standard >"$work/files" 2>/dev/null; then
		while IFS= read -r -d '' file; do
			if [[ -e $file ]]; then
				printf '%s\0' "$file"
			fi
		done <"$work/files"
	else
		find . -name .git -prune -o -name node_modules -prune -o -type f ! -name '*.o' ! -name '*.so' ! -name '*.bc' -print0
	fi
}

# Copies them into the new folder $1; $work is the caller's.
copy_tree()
{
	mkdir "$1"
	(cd "$TOP" && tree_files | tar -c --null --no-recursion -T - -f - | tar -x --no-same-owner -C "$1" -f -)
}

# What the control file has of a name, without its quotes.
control()
{
	sed -n "s/^$1 = '\(.*\)'\$/\1/p" "$TOP/neon_auth_fdw.control"
}

end_process()
{
	local i

	kill "$1" 2>/dev/null || return 0
	for ((i = 0; i < 50; i++)); do
		sleep 0.1
		kill -0 "$1" 2>/dev/null || return 0
	done
	kill -KILL "$1" 2>/dev/null || true
}

# The processes that this work folder's run started and that still are: they inherited NAUTH_WORK, or run from there.
left_over()
{
	local process pid

	for process in /proc/[0-9]*; do
		pid=${process#/proc/}
		if ((pid == $$ || pid == BASHPID)); then
			continue
		fi
		if [[ $(readlink "$process/exe" 2>/dev/null) == "$work"/* ]] ||
			grep -qszFx "NAUTH_WORK=$work" "$process/environ" 2>/dev/null; then
			echo "$pid"
		fi
	done
}

leave_work_folder()
{
	local status=$? pid

	trap '' HUP INT TERM
	if [[ -n $child ]]; then
		kill -TERM -- "-$child" 2>/dev/null || true
		wait "$child" || true
	fi
	for pid in $(left_over); do
		end_process "$pid"
	done
	((!installing)) || allow_cluster
	if [[ -n ${KEEP:-} ]]; then
		echo "kept: $work" >&2
	else
		rm -rf "$work"
	fi
	exit "$status"
}

# Variables of the caller's that would lead a client, make or npm elsewhere.
foreign_variables()
{
	local name

	for name in ${!PG@} ${!MAKE@} MFLAGS GNUMAKEFLAGS COPT CDPATH BASH_ENV; do
		[[ $name == PG_VERSION ]] || printf '%s\n' -u "$name"
	done
}

# Starts SCRIPT for the second time, in a new work folder, after installing the PACKAGEs it needs.
run_in_work_folder()
{
	local script=$1 status=0 registry unset

	shift
	child=
	work=$(make_work_folder)
	trap leave_work_folder EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	install_packages "$@"
	unpack_packages "${UNPACKED_PACKAGES[@]}"
	copy_tree "$work/tree"
	mkdir "$work"/{home,log,tmp}
	((EUID)) || chown -R nobody: "$work"
	# The user has a home of its own and so no .npmrc; a registry set there still counts.
	registry=$(npm_config_logs_max=0 npm config get registry 2>/dev/null || true)
	mapfile -t unset < <(foreign_variables)
	# Its own process group, so that one signal reaches all of it.
	set -m
	unprivileged env "${unset[@]}" NAUTH_WORK="$work" HOME="$work/home" TMPDIR="$work/tmp" LANG=C.UTF-8 LC_ALL=C.UTF-8 \
		${registry:+npm_config_registry="$registry"} \
		bash "$work/tree/regress/run/$script" </dev/null &
	child=$!
	set +m
	wait "$child" || status=$?
	child=
	bring_back "${RESULTS[@]}"
	exit "$status"
}

# ---- Second start: a private server with the extension, and what is run against it

# To be called first by the second start.
enter_work_folder()
{
	work=$NAUTH_WORK
	logs=$work/log
	prefix=$work/prefix
	pg_bin=$prefix/usr/lib/postgresql/$PG_VERSION/bin
	started=()
	clusters=()
	export PATH=$pg_bin:$PATH PGUSER=postgres PGCLIENTENCODING=UTF8
	cd "$work" || exit
	trap stop_all EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

stop_all()
{
	local i

	for ((i = ${#started[@]} - 1; i >= 0; i--)); do
		end_process "${started[i]}"
	done
	started=()
	for ((i = 0; i < ${#clusters[@]}; i++)); do
		pg_ctl -s -D "${clusters[i]}" -m fast stop || pg_ctl -s -D "${clusters[i]}" -m immediate stop || true
	done
	clusters=()
}

# A copy of the server finds its own files by where it lies, so installing into the copy leaves the system alone.
make_prefix()
{
	local part

	[[ ! -d $prefix ]] || return 0
	for part in lib share; do
		mkdir -p "$prefix/usr/$part/postgresql"
		cp -R "/usr/$part/postgresql/$PG_VERSION" "$prefix/usr/$part/postgresql/" || return
	done
	mkdir "$prefix/usr/include"
	ln -s /usr/include/postgresql "$prefix/usr/include/postgresql"
}

project_make()
{
	make -s -C "$TOP" PG_CONFIG="$pg_bin/pg_config" "$@"
}

# Arguments go to make.
build_and_install()
{
	make_prefix && project_make -j "$(nproc)" "$@" all && project_make "$@" install
}

build_simulator()
{
	make -s -C "$TOP/regress/sim" -j "$(nproc)"
}

# What the TAP tests put into a server besides the extension: a library that is preloaded, and an extension.
build_for_tests()
{
	local probe=(make -s -C "$TOP/regress/probe" "PG_CONFIG=$pg_bin/pg_config")

	make -s -C "$TOP/regress/shim" && "${probe[@]}" all && "${probe[@]}" install
}

# Prints the command that runs a TAP script, a word a line; arguments of prove follow.
prove_command()
{
	local perl=$prefix/usr/lib/postgresql/$PG_VERSION/lib/pgxs/src/test

	printf '%s\n' env "TESTDIR=$work/tap" "TESTDATADIR=$work/tap/tmp_check" "TESTLOGDIR=$work/tap/tmp_check/log" \
		"PG_REGRESS=$perl/regress/pg_regress" prove -I "$perl/perl" -I "$TOP/regress/t/lib"
}

# Says that NAME did not start, with the end of its log.
not_started()
{
	tail -n 30 "$logs/$1.log" >&2
	echo "$1 did not start" >&2
	return 1
}

# The server NAME, its socket in a folder of that name; standard input is added to its configuration.
start_postgres()
{
	local name=$1 home=$work/$1

	mkdir "$home" || return
	initdb -D "$home/data" -A trust -U postgres -E UTF8 --no-sync >"$logs/initdb-$name.log" 2>&1 ||
		not_started "initdb-$name" || return
	{
		cat
		printf "%s\n" "listen_addresses = ''" "unix_socket_directories = '$home'" "fsync = off"
	} >>"$home/data/postgresql.conf"
	clusters+=("$home/data")
	export PGHOST=$home
	# The server must not hold our standard output: who reads that would wait for the server's end.
	pg_ctl -s -w -D "$home/data" -l "$logs/$name.log" start </dev/null >/dev/null || not_started "$name"
}

# Runs COMMAND in the background until stop_all; waits until it has written FILE.
start_background()
{
	local name=$1 file=$2 pid i

	shift 2
	"$@" </dev/null >"$logs/$name.log" 2>&1 &
	pid=$!
	started+=("$pid")
	for ((i = 0; i < 600; i++)); do
		if [[ -s $file ]]; then
			return
		fi
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	not_started "$name"
}

# Sets sim_url; the key is sk_test_x.
start_simulator()
{
	local name=$1

	shift
	start_background "$name" "$work/$name.port" "$TOP/regress/sim/nauth_sim" \
		--key sk_test_x --port 0 --port-file "$work/$name.port" "$@" || return
	sim_url=http://127.0.0.1:$(<"$work/$name.port")
}

# Sets redis_url. The package redis-tools has the server under another name; redis-server would start one for the
# machine.
start_redis()
{
	local home=$work/redis i

	mkdir "$home" || return
	ln -s /usr/bin/redis-check-rdb "$home/redis-server" || return
	start_background redis "$home/pid" "$home/redis-server" --port 0 --unixsocket "$home/socket" --dir "$home" --save '' \
		--pidfile "$home/pid" || return
	redis_url=unix:$home/socket
	for ((i = 0; i < 100; i++)); do
		if redis-cli -e -s "$home/socket" ping >/dev/null 2>&1; then
			return
		fi
		sleep 0.1
	done
	not_started redis
}

# Debian 12 has Node 18; npm's package "node" brings another one.
make_node()
{
	local have

	have=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
	((have < OLDEST_NODE)) || return 0
	[[ -d $work/node ]] ||
		npm install --loglevel=error --no-audit --no-fund --prefix "$work/node" "node@$NODE_MAJOR" || return
	export PATH=$work/node/node_modules/.bin:$PATH
}

# Installs what the package-lock.json in a folder of the tree's copy names.
npm_ci()
{
	[[ ! -d $TOP/$1/node_modules ]] || return 0
	(cd "$TOP/$1" && npm ci --loglevel=error --no-audit --no-fund)
}

# Node, and the servers from npm that TAP tests start.
npm_parts()
{
	make_node && npm_ci regress/better_auth && npm_ci regress/clients && npm_ci regress/feathers && npm_ci regress/scim
}

# Starts Better Auth on the database "auth" of the server started last; sets BETTER_AUTH_URL and BETTER_AUTH_TOKEN.
start_better_auth()
{
	createdb auth || return
	start_background better_auth "$work/better_auth.port" env PGDATABASE=auth node "$TOP/regress/better_auth/server.mjs" \
		--port-file "$work/better_auth.port" --token-file "$work/better_auth.token" || return
	BETTER_AUTH_URL=http://127.0.0.1:$(<"$work/better_auth.port")
	BETTER_AUTH_TOKEN=$(<"$work/better_auth.token")
	export BETTER_AUTH_URL BETTER_AUTH_TOKEN
}

better_auth()
{
	node "$TOP/regress/better_auth/client.mjs" "$@"
}
