# shellcheck shell=bash
# try: the main job on a fresh machine, as alice on the laptop.

lab_try() {
	[[ $# -eq 0 ]] || usage_error "try: takes no arguments"
	need_root
	# Each in a process of its own: their locks and traps end with them.
	"$LAB_REPO/scripts/lab" install
	[[ -e $LAB_RUN/up ]] || "$LAB_REPO/scripts/lab" up
	load_state
	note "building bin/cscs"
	(cd "$LAB_REPO" && CGO_ENABLED=0 go build -buildvcs=false -o bin/cscs ./cmd/cscs)
	if [[ -t 0 && -t 1 ]]; then try_in_terminal; else try_unattended; fi
}

try_in_terminal() {
	cat >&2 <<-EOF

		You are alice on a laptop. Behind ela.cscs.ch is a small cluster, daint, with $NODES compute nodes.
		The laptop has a network of its own: the URL below is seen from inside it, for example by

		    scripts/lab as alice laptop curl -i URL

		Ctrl-C ends the session, and the cluster's job with it. scripts/lab down ends the lab.

	EOF
	lab_as alice laptop "$LAB_REPO/bin/cscs" run-jupyter --cluster daint --venv "$VENV"
}

# try_unattended: nobody presses Ctrl-C, so the run is shown, asked one page
# and ended by SIGINT.
try_unattended() {
	local out pid url status=0
	out=$(mktemp)
	trap 'rm -f "$out"' EXIT
	lab_as alice laptop "$LAB_REPO/bin/cscs" run-jupyter --cluster daint --venv "$VENV" --no-browser --json \
		>"$out" &
	pid=$!
	tail -n +1 -f --pid="$pid" "$out" &
	wait_for 120 'run-jupyter ready' ready_or_ended "$out" "$pid"
	url=$(sed -n 's/.*"event":"ready".*"url":"\([^"]*\)".*/\1/p' "$out")
	[[ -n $url ]] || die "run-jupyter ended before it was ready"
	printf 'GET %s: HTTP %s\n' "$url" \
		"$(lab_as alice laptop curl -s -o /dev/null -w '%{http_code}' --max-time 30 "$url")"
	kill -INT "$pid"
	wait "$pid" || status=$?
	printf 'run-jupyter ended with %d; jobs in the queue: %d\n' "$status" \
		"$(in_host ctl squeue -h -t PD,R,CF,S | wc -l)"
	return "$status"
}

ready_or_ended() {
	grep -q '"event":"ready"' "$1" || [[ ! -e /proc/$2 ]]
}
