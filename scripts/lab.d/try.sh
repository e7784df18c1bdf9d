# shellcheck shell=bash
# try: the main job on a fresh machine, as alice on the laptop. expose: the
# laptop's URL in this machine's own browser.

lab_try() {
	[[ $# -eq 0 ]] || usage_error "try: takes no arguments"
	need_root
	# Each in a process of its own: their locks and traps end with them.
	"$LAB_REPO/scripts/lab" install
	[[ -e $LAB_RUN/up ]] || "$LAB_REPO/scripts/lab" up
	load_state
	need_go
	note "building bin/cscs"
	(cd "$LAB_REPO" && CGO_ENABLED=0 go build -buildvcs=false -o bin/ ./cmd/cscs ./internal/lab/expose)
	TRY=("$LAB_REPO/bin/cscs" run-jupyter --cluster daint --venv "$VENV")
	if [[ -t 0 && -t 1 ]]; then try_in_terminal; else try_unattended; fi
}

# try_in_terminal: the port is one that is free here too, so that the URL is
# the same on both sides.
try_in_terminal() {
	local port=8888 exposer
	while listening self "$port"; do port=$((port + 1)); done
	"$LAB_REPO/bin/expose" "$LAB_REPO/scripts/lab" "$port" &
	exposer=$!
	# shellcheck disable=SC2064 # the number as it is now
	trap "kill $exposer 2>/dev/null || :" EXIT
	cat >&2 <<-EOF

		You are alice on a laptop. Behind ela.cscs.ch is a small cluster, daint, with $NODES compute nodes.
		Open the URL below in a browser on this machine. Ctrl-C ends the session and its job;
		after that, scripts/lab down ends the lab, and scripts/lab help tells what else it can do.

	EOF
	(lab_as alice laptop "${TRY[@]}" --local-port "$port")
}

# try_unattended: no person presses Ctrl-C, so the run is shown, asked for one
# page and ended by SIGINT.
try_unattended() {
	local url status=0 pid
	TRY_OUT=$(mktemp)
	(lab_as alice laptop "${TRY[@]}" --no-browser) >"$TRY_OUT" &
	pid=$!
	# shellcheck disable=SC2064 # the number as it is now
	trap "kill $pid 2>/dev/null || :; rm -f '$TRY_OUT'" EXIT
	wait_for 120 'a URL from run-jupyter' url_or_end "$pid"
	url=$(grep -m 1 '^http' "$TRY_OUT") || die "run-jupyter ended before it was ready"
	printf 'GET %s: HTTP %s\n' "$url" \
		"$(lab_as alice laptop curl -sL -o /dev/null -w '%{http_code}' --max-time 30 "$url")"
	kill -INT "$pid"
	wait "$pid" || status=$?
	printf 'run-jupyter ended with %d; jobs in the queue: %d\n' "$status" \
		"$(in_host ctl squeue -h -t PD,R,CF,S | wc -l)"
	return "$status"
}

url_or_end() { grep -q '^http' "$TRY_OUT" || [[ ! -e /proc/$1 ]]; }

lab_expose() {
	[[ ${1:-} =~ ^[0-9]+$ && $# -eq 1 ]] || usage_error "expose: usage: expose PORT"
	need_root
	need_go
	load_state
	(cd "$LAB_REPO" && CGO_ENABLED=0 go build -buildvcs=false -o bin/expose ./internal/lab/expose)
	note "127.0.0.1:$1 of the laptop answers here; Ctrl-C ends that"
	exec "$LAB_REPO/bin/expose" "$LAB_REPO/scripts/lab" "$1"
}
