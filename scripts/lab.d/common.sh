# shellcheck shell=bash
# What every part needs: where things are, how to fail, how to wait.

# LAB_ROOT holds what install makes and every lab shares. LAB_RUN holds one
# running lab; two labs with different ones run side by side.
LAB_ROOT=$(realpath -m -- "${CSCS_LAB_ROOT:-/var/lib/cscs-lab}")
LAB_RUN=$(realpath -m -- "${CSCS_LAB_RUN:-/run/cscs-lab}")
LAB_REPO=${LAB_SCRIPTS%/scripts/lab.d}
LAB_RELEASES=(bookworm trixie forky)
LAB_USERS=(alice:2001 mallory:2002)

note() { printf 'lab: %s\n' "$*" >&2; }

die() {
	printf 'lab: error: %s\n' "$*" >&2
	exit 1
}

usage_error() {
	printf 'lab: %s\n' "$*" >&2
	exit 2
}

need_root() {
	[[ $EUID -eq 0 ]] || die "this needs root: namespaces, mounts and network devices are made"
}

# user_id USER: the uid, the same on every host.
user_id() {
	local user
	for user in "${LAB_USERS[@]}"; do
		[[ ${user%:*} != "$1" ]] || {
			echo "${user#*:}"
			return
		}
	done
	usage_error "no user '$1': there are ${LAB_USERS[*]%:*}"
}

# is_release NAME: whether the lab knows that Debian release.
is_release() {
	local r
	for r in "${LAB_RELEASES[@]}"; do
		[[ $r == "$1" ]] && return
	done
	return 1
}

# with_lock NAME: hold a lock until this process ends. Its descriptor, 9, must
# not reach anything that outlives it (9>&-), or the lock would live on there.
with_lock() {
	mkdir -p "$LAB_ROOT/locks"
	exec 9>"$LAB_ROOT/locks/$1"
	flock 9
}

# lock_name: the name of this lab's lock, one for each LAB_RUN.
lock_name() { printf 'run%s' "${LAB_RUN//\//-}"; }

# wait_for SECONDS WHAT COMMAND...: ask again until the command succeeds.
# The pause is only how often it asks; the deadline is what is promised.
wait_for() {
	local seconds=$1 what=$2 deadline
	shift 2
	deadline=$((${EPOCHREALTIME/./} + seconds * 1000000))
	until "$@"; do
		((${EPOCHREALTIME/./} < deadline)) || die "$what: not after $seconds s; logs are in $LAB_RUN/hosts/*/log"
		sleep 0.02
	done
}

# elapsed START: seconds since START, an $EPOCHREALTIME, with two decimals.
elapsed() {
	local us=$((${EPOCHREALTIME/./} - ${1/./}))
	printf '%d.%02d' $((us / 1000000)) $((us % 1000000 / 10000))
}

# load_state: the parameters of the running lab.
load_state() {
	[[ -e $LAB_RUN/up ]] || die "no lab is up at $LAB_RUN: scripts/lab up"
	# shellcheck source=/dev/null
	. "$LAB_RUN/state"
}

# remove_old_trees DIRECTORY TEST...: all in DIRECTORY that pass find's TESTs, that nothing is running on at this moment,
# and that have not been used for a day: a younger one is another worktree's.
remove_old_trees() {
	local old
	find "$1" -mindepth 1 -maxdepth 1 -mtime +1 "${@:2}" | while read -r old; do
		grep -qsE "lowerdir=([^,]*:)?$old(/files)?[:,]" /proc/[0-9]*/mountinfo || remove_tree "$old" || true
	done
}

# remove_tree TREE: what is mounted in it, such as this machine's /dev, is not the tree's: then it says so, and removes
# nothing.
remove_tree() {
	local mounts
	mounts=$(awk -v tree="$1/" 'index($5 "/", tree) == 1 { print $5 }' /proc/self/mountinfo)
	if [[ -n $mounts ]]; then
		note "$1 is not removed, since these are mounted in it (umount them): $mounts"
		return 1
	fi
	rm -rf --one-file-system -- "$1"
}
