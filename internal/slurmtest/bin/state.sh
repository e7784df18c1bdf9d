# shellcheck shell=bash
# A cluster of one node in the directory $FAKE, for the commands beside this file:
# they print what the real ones were seen to print. Sourced, not run.
mkdir -p "$FAKE/jobs"
echo "${0##*/} $*" >>"$FAKE/calls"
job_dir() { echo "$FAKE/jobs/$1"; }
set_state() { echo "$2" >"$FAKE/jobs/$1/state"; }
# job_signal SIGNAL PIDS...: to those of them that are of this cluster: numbers of processes come again.
job_signal() {
	local pid
	for pid in "${@:2}"; do
		grep -qzFx "FAKE=$FAKE" "/proc/$pid/environ" 2>/dev/null && kill -s "$1" "$pid"
	done
}
