# shellcheck shell=bash
# A cluster of one node in the directory $FAKE, for the commands beside this file:
# they print what the real ones were seen to print. Sourced, not run.
# Slurm's own commands are no shells, and read no file that BASH_ENV names.
set +euC
shopt -u failglob nocasematch dotglob
unset GLOBIGNORE
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
# new_job: n is the number of a job that waits.
new_job() {
	n=4711
	until mkdir "$FAKE/number.$n" 2>/dev/null; do ((n++)); done
	mkdir "$FAKE/jobs/$n"
	set_state $n PENDING
}
# run_job N: it has its allocation; two at a time are noted.
run_job() {
	set_state "$1" RUNNING
	local f
	for f in "$FAKE"/jobs/*/state; do
		[[ $f == "$FAKE/jobs/$1/state" || $(<"$f") != RUNNING ]] || echo "$1 beside $f" >>"$FAKE/two"
	done
}
# end_job N STATE: it leaves the queue.
end_job() {
	mv "$FAKE/jobs/$1" "$FAKE/gone.$1" 2>/dev/null && echo "$2" >"$FAKE/gone.$1/state"
}
# pause_at PLACE: stays there if the test says so (FAKE_PAUSE), until it goes on or kills.
pause_at() {
	[[ ${FAKE_PAUSE:-} == "$1" && ! -e $FAKE/went-on ]] || return 0
	: >"$FAKE/paused"
	until [[ -e $FAKE/went-on ]]; do read -rt 0.02 <> <(:); done
}
