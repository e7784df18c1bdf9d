# shellcheck shell=bash
# as and in: run a command on a host.

# lab_as USER HOST [VAR=VALUE...] COMMAND...: as a user who has logged in.
# This process becomes enter(1), so a signal to it is a signal to the command.
lab_as() {
	[[ $# -ge 3 ]] || usage_error "as: usage: as USER HOST [VAR=VALUE...] COMMAND..."
	local user=$1 host=$2 uid pid
	shift 2
	need_root
	load_state
	uid=$(user_id "$user")
	need_host "$host"
	pid=$(need_running "$host")
	local bin
	read -r bin <"$LAB_RUN/bin"
	login_environment "$user" "$uid" "$host"
	while [[ ${1:-} =~ ^[A-Za-z_][A-Za-z0-9_]*= ]]; do
		# shellcheck disable=SC2163 # the word is an assignment
		export "$1"
		shift
	done
	[[ $# -gt 0 ]] || usage_error "as: no command"
	exec "$bin/enter" "$pid" "$HOME" /usr/bin/setpriv --reuid "$uid" --regid "$uid" --init-groups --pdeathsig KILL -- "$@"
}

# lab_in HOST COMMAND...: as root.
lab_in() {
	[[ $# -ge 2 ]] || usage_error "in: usage: in HOST COMMAND..."
	local host=$1 pid bin
	shift
	need_root
	load_state
	need_host "$host"
	pid=$(need_running "$host")
	read -r bin <"$LAB_RUN/bin"
	login_environment root 0 "$host"
	exec "$bin/enter" "$pid" / /usr/bin/setpriv --pdeathsig KILL -- "$@"
}

# in_host HOST COMMAND...: the same, for the lab's own use.
in_host() { (
	local pid bin host=$1
	shift
	pid=$(host_pid "$host")
	[[ -n $pid ]] || exit 1
	read -r bin <"$LAB_RUN/bin"
	login_environment root 0 "$host"
	exec "$bin/enter" "$pid" / /usr/bin/setpriv --pdeathsig KILL -- "$@" 9>&-
); }

need_running() {
	local pid
	pid=$(host_pid "$1")
	[[ -n $pid ]] || die "$1 is down: scripts/lab boot $1"
	echo "$pid"
}

# login_environment USER UID HOST: export what a login gives, and nothing of
# the caller's but TERM and CSCS_*.
login_environment() {
	local name
	for name in $(compgen -e); do
		case $name in
		CSCS_LAB_*) export -n "${name?}" ;;
		TERM | CSCS_*) ;;
		*) export -n "${name?}" ;;
		esac
	done
	export USER=$1 LOGNAME=$1 LANG=C.UTF-8 SHELL=/bin/bash HOME=/home/$1
	export PATH=/usr/local/bin:/usr/bin:/bin
	if [[ $1 == root ]]; then
		HOME=/root
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	elif [[ $3 == laptop ]]; then
		export XDG_RUNTIME_DIR=/run/user/$2
	fi
}
