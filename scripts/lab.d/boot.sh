# shellcheck shell=bash
# Making a host's disk, and starting it.
#
# Every process of a lab descends from the fabric's init, the first process of
# a pid namespace: when that one is killed, the kernel kills them all. Each
# host is a pid namespace inside it, and crashes in the same way.

# host_etc HOST: the directory that lies over /etc there.
host_etc() {
	if on_cluster "$1"; then echo "$LAB_RUN/hosts/$1/upper/etc"; else echo "$LAB_RUN/hosts/$1/etc"; fi
}

start_fabric() {
	local parent
	mkfifo -m 600 "$LAB_RUN/started" "$LAB_RUN/never"
	env -i PATH="$PATH" setsid unshare --net --pid --mount --ipc --fork --kill-child --mount-proc --propagation private \
		bash "$LAB_SCRIPTS/fabric-init" "$LAB_RUN" <"/dev/null" &>"$LAB_RUN/fabric.log" 9>&- &
	parent=$!
	disown
	wait_for 5 'the fabric' has_child "$parent"
	pgrep -P "$parent" >"$LAB_RUN/fabric.pid"
	read -r -t 5 <>"$LAB_RUN/started" || die "the fabric did not start: $LAB_RUN/fabric.log"
	make_bridges
}

has_child() { pgrep -P "$1" >/dev/null; }

# in_fabric COMMAND...: start something that lives as long as the lab does.
in_fabric() {
	nsenter -t "$(cat "$LAB_RUN/fabric.pid")" --net --pid --mount --ipc -- setsid -f "$@" </dev/null 9>&-
}

start_wire() {
	in_fabric "$(lab_bin)/wire" serve "$LAB_RUN/wire.sock" &>"$LAB_RUN/wire.log"
	wait_for 5 'the delay line' wire_answers
}

wire() { "$(cat "$LAB_RUN/bin")/wire" ctl "$LAB_RUN/wire.sock" "$@"; }
wire_answers() { wire status &>/dev/null; }

# make_disk HOST: what of the host's file system outlives a crash.
make_disk() {
	local host=$1 dir=$LAB_RUN/hosts/$1 etc
	etc=$(host_etc "$host")
	mkdir -p "$dir"/{upper,work,root,var-log} "$etc/ssh"
	mkfifo -m 600 "$dir/mounted" "$dir/connected"
	echo "$host" >"$etc/hostname"
	hosts_file "$host" >"$etc/hosts"
	: >"$etc/resolv.conf"
	printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files\n' >"$etc/nsswitch.conf"
	cp "$LAB_RUN/ca/user_ca.pub" "$LAB_RUN/ca/host_ca.pub" "$etc/ssh/"
	if on_cluster "$host"; then
		write_slurm_files "$host"
		mkdir -p "$etc/pam.d"
		pam_sshd "$host" >"$etc/pam.d/sshd"
	else
		add_host_users "$etc"
	fi
	# The laptop serves no host.
	[[ $host == laptop ]] || {
		sshd_config "$host" >"$etc/ssh/sshd_config"
		make_host_keys "$host"
	}
}

# add_host_users ETC: the machine's users and groups without those that have a name or a number of
# the lab's, and then the lab's. sshd takes a password of "!" in /etc/shadow for a locked account, so
# each of the files is made here, and none is the machine's.
add_host_users() {
	local etc=$1 user ids="${LAB_USERS[*]}"
	# Lines of NIS (+ and -) name users of elsewhere.
	awk -F: -v ids="$ids" "$LAB_IDS"' !/^[+-]/ && !($1 in name) && !($3 in number)' /etc/passwd >"$etc/passwd"
	# A group of the machine's gives the lab's users nothing.
	awk -F: -v OFS=: -v ids="$ids" "$LAB_IDS"' !/^[+-]/ && !($1 in name) && !($3 in number) {
		n = split($4, member, ",")
		$4 = ""
		for (i = 1; i <= n; i++) if (!(member[i] in name)) $4 = $4 ($4 == "" ? "" : ",") member[i]
		print
	}' /etc/group >"$etc/group"
	for user in "${LAB_USERS[@]}"; do
		echo "${user%:*}:x:${user#*:}:${user#*:}::/home/${user%:*}:/bin/bash" >>"$etc/passwd"
		echo "${user%:*}:x:${user#*:}:" >>"$etc/group"
	done
	# "*" is no password, and unlike "!" no locked account.
	awk -F: '{ print $1 ":*:::::::" }' "$etc/passwd" >"$etc/shadow"
	awk -F: '{ print $1 ":*::" $4 }' "$etc/group" >"$etc/gshadow"
	chmod 600 "$etc/shadow" "$etc/gshadow"
}

# LAB_IDS: awk's tables of the lab's names and numbers.
LAB_IDS='BEGIN { n = split(ids, user, " "); for (i = 1; i <= n; i++) { split(user[i], f, ":"); name[f[1]]; number[f[2]] } }'

# pam_sshd HOST: compute nodes admit only who has a job there. Which of several jobs a login belongs to, the
# module asks cgroups by default, and refuses without them; a lab confines nothing, so any will do.
pam_sshd() {
	echo 'account required pam_unix.so'
	[[ $(host_kind "$1") != node ]] ||
		echo 'account required pam_slurm_adopt.so action_no_jobs=deny action_unknown=allow action_adopt_failure=allow action_generic_failure=ignore'
	printf '%s\n' 'session required pam_env.so' 'session required pam_limits.so'
}

# start_host HOST: its init runs until it is killed. The host has its network
# before it starts a service.
start_host() {
	local host=$1 dir=$LAB_RUN/hosts/$1 pid
	in_fabric env -i PATH="$PATH" unshare --net --uts --pid --mount --ipc --fork --kill-child \
		bash "$LAB_SCRIPTS/host-init" "$LAB_RUN" "$host" "$(host_kind "$host")" "$(lower_of "$host")" "$LAB_REPO" \
		&>>"$dir/log"
	wait_for 5 "$host" find_init "$host"
	pid=$(cat "$dir/pid")
	read -r -t 10 <>"$dir/mounted" || die "$host did not start: $dir/log"
	connect "$host" "$pid"
	echo 1<>"$dir/connected"
}

# lower_of HOST: what lies below the host's own layer.
lower_of() {
	if [[ $1 == ctl && -n $ACCOUNTING ]]; then echo "$ACCOUNTING/files:$TREE"; else echo "$ENGINE:$TREE"; fi
}

# find_init HOST: record the host's pid 1. Inside, it only knows itself as 1,
# which also tells it from its own children before they run something else.
find_init() {
	local pid
	for pid in $(pgrep -f "^bash ${LAB_SCRIPTS//./\\.}/host-init ${LAB_RUN//./\\.} $1 "); do
		[[ $(grep -s ^NSpid: "/proc/$pid/status") =~ [[:space:]]1$ ]] || continue
		echo "$pid" >"$LAB_RUN/hosts/$1/pid"
		return
	done
	return 1
}

# serving HOST: whether the host's services answer.
serving() {
	local pid
	pid=$(host_pid "$1")
	[[ -n $pid ]] || return
	case $(host_kind "$1") in
	laptop) ;;
	jump) listening "$pid" 22 ;;
	login) listening "$pid" 22 && [[ -S /proc/$pid/root/run/munge/munge.socket.2 ]] ;;
	controller) listening "$pid" 6817 ;;
	node) listening "$pid" 22 && listening "$pid" 6818 ;;
	esac
}
