# shellcheck shell=bash
# What goes wrong on purpose: crashes, and services that stop.

# lab_crash HOST: the power goes. Nothing on the host says goodbye.
lab_crash() {
	[[ $# -eq 1 ]] || usage_error "crash: usage: crash HOST"
	local pid
	need_root
	load_state
	need_host "$1"
	with_lock "$(lock_name)"
	pid=$(need_running "$1")
	disconnect "$1"
	kill -KILL "$pid"
	wait_for 10 "the end of $1" gone "$pid"
	rm -f "$LAB_RUN/hosts/$1/pid"
}

gone() { [[ ! -e /proc/$1 ]]; }

# lab_boot HOST: the power is back. The disk is as it was; /run and /tmp are empty.
lab_boot() {
	[[ $# -eq 1 ]] || usage_error "boot: usage: boot HOST"
	need_root
	load_state
	need_host "$1"
	with_lock "$(lock_name)"
	[[ -z $(host_pid "$1") ]] || die "$1 is running: scripts/lab crash $1"
	start_host "$1"
	wait_for 20 "$1" serving "$1"
}

lab_start_service() { service start "$@"; }
lab_stop_service() { service stop "$@"; }

# service start|stop HOST SERVICE
service() {
	[[ $# -eq 3 ]] || usage_error "usage: start-service|stop-service HOST sshd|munged|slurmctld|slurmd"
	need_root
	load_state
	need_host "$2"
	need_running "$2" >/dev/null
	{
		cat "$LAB_SCRIPTS/services.sh"
		echo "$1 $3"
	} | in_host "$2" /bin/bash -s
}
