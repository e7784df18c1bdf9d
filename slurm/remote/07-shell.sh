# Questions to a shell of the user's. It reads start-up files, which can hang, print without end, or
# start processes that live on: an ssh-agent, a loop that watches a quota. None of them outlives the
# question.

# cscs_run_shell SECONDS COMMAND...: runs a command that becomes such a shell by cscs_exec_shell.
# Sets REPLY to its output. Returns its exit status, or 124 if it was ended after this time. It does
# not wait for a process that only keeps the output open.
cscs_run_shell() {
	local limit=$1 mark=$((300000 + ($$ * 32768 + RANDOM) % 500000)) fd pid began waited=0 text='' part gone='' code
	cscs_uptime
	began=$REPLY
	exec {fd}< <(
		# All processes that the shell starts inherit this limit as a mark (getrlimit(2),
		# RLIMIT_MSGQUEUE). A variable would not do: other processes cannot read an ssh-agent's
		# environment (proc(5)), and env -i clears it.
		ulimit -S -q "$mark" 2>/dev/null
		"${@:2}" </dev/null
	)
	pid=$!
	while ((waited < (limit + 2) * 1000)); do
		kill -0 "$pid" 2>/dev/null || gone=1
		part=''
		# Read byte by byte, as bash reads a pipe. With -N, bash gives what it has read at the
		# timeout to the next read of any file.
		IFS= read -r -d "" -t 0.1 -u "$fd" part
		code=$?
		text+=$part
		((code == 0 || code > 128)) || break
		# On a loaded host, a read can time out although there is more.
		[[ -z $gone || -n $part ]] || break
		cscs_uptime
		waited=$((REPLY - began))
	done
	exec {fd}<&-
	wait "$pid" 2>/dev/null
	code=$?
	cscs_uptime
	((code != 137 || REPLY - began < limit * 1000)) || code=124 # timeout(1) kills itself too
	cscs_end_marked
	REPLY=$text
	return "$code"
}

# cscs_exec_shell COMMAND...: becomes the shell, with a time limit. For cscs_run_shell.
cscs_exec_shell() { exec timeout -k 1 "$limit" "$@"; }

# cscs_end_marked: ends the processes with the caller's mark, by SIGTERM first, so that an ssh-agent
# removes its socket.
cscs_end_marked() {
	local signal pid pids=()
	for signal in TERM TERM TERM KILL KILL KILL; do
		cscs_find_marked
		((${#pids[@]})) || return 0
		for pid in "${pids[@]}"; do
			! cscs_has_mark "$pid" || kill -s "$signal" "$pid" 2>/dev/null
		done
		cscs_nap 0.1
	done
}

# cscs_has_mark PID: succeeds if the process has the caller's mark. The number can be another
# process's by now: on a host with many processes, finding all of them takes a tenth of a second.
cscs_has_mark() {
	local text=''
	{ IFS= read -r -d '' text <"/proc/$1/limits"; } 2>/dev/null
	[[ $text =~ 'Max msgqueue size'\ +"$mark"' ' ]]
}

# cscs_find_marked: fills the caller's array pids with the processes that have its mark and did not
# begin before it.
cscs_find_marked() {
	local file pid
	pids=()
	while IFS= read -r file; do
		pid=${file#/proc/}
		pid=${pid%/limits}
		cscs_process_began "$pid" # in 1/100 s
		((REPLY * 10 < began - 10)) || pids+=("$pid")
	done < <(grep -ls "^Max msgqueue size *$mark " /proc/[0-9]*/limits)
}

# cscs_try_login_shell: tests whether a login shell such as launch's finishes its start-up files.
# Sets REPLY to a line "startup" with the result. The shell's trace (bash(1), -x) shows which line
# was the last.
cscs_try_login_shell() {
	local line through='' code at=''
	cscs_run_shell 5 cscs_exec_traced_login
	code=$?
	while IFS= read -r line; do
		case $line in
		"$cscs_nonce through") through=1 ;;
		# Ignore lines of processes in the background.
		+*' cscs-at 1 '*) at=${line#*' cscs-at 1 '} ;;
		esac
	done < <(printf '%s\n' "$REPLY")
	REPLY=''
	if [[ -z $through && $at =~ ^([^:]+):([0-9]+):' '((exec|exit|logout)(' '.*)?)$ ]]; then
		cscs_format_start "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[3]}"
	fi
	REPLY=startup$'\t'host=${HOSTNAME%%.*}$'\t'through=$through$'\t'code=$code$REPLY
}

# cscs_exec_traced_login: becomes that shell. For cscs_try_login_shell.
cscs_exec_traced_login() {
	cscs_leave_login
	cscs_restore_variables
	export PS4='+ cscs-at $((BASHPID == $$)) ${BASH_SOURCE[0]}:${LINENO}: '
	exec 2>&1
	cscs_exec_shell bash --login -x -c "/usr/bin/env printf '%s\n' '$cscs_nonce through'"
}
