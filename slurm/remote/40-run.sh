# run: the runner, the only guard of a running job. It starts the server, finds its listening socket
# and the socket's owner, reports, and ends the job when the server ends. It runs on the bare node,
# in a step of the job.

cscs_run() {
	cscs_dir=${BASH_SOURCE[0]%/*}
	{ IFS= read -r cscs_user_umask <"$cscs_dir/umask"; } 2>/dev/null || cscs_user_umask=0022
	# The client sees only what the runner can write.
	{ : >>"$cscs_dir/runner.log"; } 2>/dev/null || {
		printf '%s cannot write below the home directory (read-only, full, or not there)\n' "${SLURMD_NODENAME:-${HOSTNAME%%.*}}"
		exit 1
	}
	# The step must not block on a pipe to a dead srun.
	exec 3>&1 >>"$cscs_dir/runner.log" 2>&1 </dev/null
	cscs_stop=''
	# The verb stop sends URG. Slurm sends TERM (a scancel, a time limit), to the server too.
	trap 'cscs_stop=asked' URG
	trap 'cscs_stop=slurm' TERM INT
	# A client that is connected to this node sends WINCH (cscs_renew_runner).
	trap 'cscs_signalled=1' WINCH
	trap '' HUP PIPE
	cscs_job=$SLURM_JOB_ID
	cscs_node=${SLURMD_NODENAME:-${HOSTNAME%%.*}}
	cscs_claim_session || {
		cscs_cancel "$cscs_job"
		return
	}
	cscs_end_predecessor
	{ IFS= read -r cscs_gres <"$cscs_dir/gres"; } 2>/dev/null
	cscs_beat=0 cscs_pulsed=-100000 cscs_clock=0 cscs_looked=0
	cscs_uptime
	cscs_born=$REPLY
	cscs_write_pulse
	cscs_report_alive
	printf 'cscs-alive\n' >&3
	exec 3>&-
	cscs_scan_keys &

	local tries=5
	if cscs_has_no_owner; then
		cscs_end=lease cscs_message="the lease had not been renewed for $REPLY s when the job started" tries=0
	fi
	for ((; tries > 0; tries--)); do
		cscs_choose_port || break
		cscs_start_server
		cscs_event started "node=$cscs_node" "pid=$cscs_pid" "port=$cscs_listen"
		cscs_watch
		# Slurm cannot make the step of the uenv or container yet (cscs_step_wait).
		while [[ $cscs_end == unready ]] && ((cscs_clock < cscs_step_most * 1000)); do
			cscs_nap 1
			cscs_start_server
			cscs_watch
		done
		# Another process took the port that the runner chose: choose another.
		[[ $cscs_end == collision && $cscs_port == 0 ]] || break
		cscs_event collision "port=$cscs_listen"
	done
	[[ $cscs_end != unready ]] || cscs_end=setup
	[[ -z ${cscs_logger:-} ]] || cscs_wait_for_log
	# Cancel the job first, so that a reader of the event finds it gone. Slurm leaves the runner
	# KillWait for the rest.
	trap '' TERM URG
	local told=''
	until cscs_cancel "$cscs_job"; do
		# slurmctld does not answer, and no other process may be left to end the job.
		[[ -n $told ]] || cscs_report_exit
		told=1
		if cscs_find_session_jobs && ((${#cscs_jobs[@]} == 0)); then break; fi
		cscs_nap 5
	done
	[[ -n $told ]] || cscs_report_exit
}

# cscs_report_exit: reports the end of the session.
cscs_report_exit() {
	cscs_event exited "reason=$cscs_end" "code=${cscs_server_code:-}" "message=${cscs_message:-}" ${cscs_cause:+"cause=$cscs_cause"}
}

# cscs_claim_session: claims the session for this job; fails if another job of the session runs.
# There are two if Slurm took a request whose answer was lost, and another request too. The second
# job ends itself without a report, since the first one serves.
cscs_claim_session() {
	local other='' mine=$cscs_dir/runner.$cscs_job
	# link(2) is atomic, on NFS too.
	printf '%s\n' "$cscs_job" >"$mine"
	ln "$mine" "$cscs_dir/runner" 2>/dev/null
	{ IFS= read -r other <"$cscs_dir/runner"; } 2>/dev/null
	if [[ $other != "$cscs_job" ]] && cscs_is_job "$other"; then
		until cscs_find_session_jobs; do cscs_nap 5; done
		[[ " ${cscs_jobs[*]} " != *" $other "* || " ${cscs_jobs[*]} " == *" $other PENDING "* ]] || {
			rm -f "$mine"
			return 1
		}
		# If two jobs take over from a dead one, the later stays.
		mv -f "$mine" "$cscs_dir/runner" 2>/dev/null
		{ IFS= read -r other <"$cscs_dir/runner"; } 2>/dev/null
	fi
	rm -f "$mine"
	# If this job cannot write here, no other job has written either.
	[[ -z $other || $other == "$cscs_job" ]]
}

# cscs_end_predecessor: kills what an earlier runner of this job has left: its server would run
# beside the new one, without a runner that watches it.
cscs_end_predecessor() {
	[[ -e $cscs_dir/pulse ]] || return 0
	cscs_find_processes KILL
	return 0
}

# cscs_report_alive: reports where the runner is, the node's addresses, and its host keys from their
# files. Slurm started the runner there, so a host that has these keys is that node (invariant I7).
cscs_report_alive() {
	local f type key keys=()
	for key in $(hostname -I 2>/dev/null); do keys+=("at=$key"); done
	for f in /etc/ssh/ssh_host_*_key.pub; do
		[[ -r $f ]] || continue
		read -r type key _ <"$f" && keys+=("hostkey=$type $key")
	done
	cscs_event alive "job=$cscs_job" "step=${SLURM_STEP_ID:-${SLURM_STEPID:-0}}" "node=$cscs_node" "pid=$$" "${keys[@]}"
}

# cscs_scan_keys: reports the host keys that the node's own sshd presents. An image can contain key
# files that sshd does not use (sshd_config(5), HostKey). Port 22 of an address of this node belongs
# to root. The scan runs in parallel with the start of the server and must not delay it.
cscs_scan_keys() {
	local address type key keys=()
	for address in 127.0.0.1 $(hostname -I 2>/dev/null); do
		while read -r _ type key; do
			[[ $type != ssh-* && $type != ecdsa-* ]] || keys+=("hostkey=$type $key")
		done < <(nice -n 19 ssh-keyscan -T 3 -- "$address" 2>/dev/null)
		((${#keys[@]} == 0)) || break
	done
	cscs_event scanned "node=$cscs_node" "${keys[@]}"
}

# cscs_write_pulse: writes the runner's sign of life, a number that grows, in place.
cscs_write_pulse() {
	((cscs_clock - cscs_pulsed >= (cscs_clock < 10000 ? 1000 : 5000))) || return 0
	cscs_pulsed=$cscs_clock
	((cscs_beat++))
	printf '%010d\n' "$cscs_beat" 1<>"$cscs_dir/pulse"
}

# cscs_choose_port: sets cscs_listen to the port that the client asks for. If the client leaves the
# choice, it takes the wished port or, if that is in use or was just lost to another process, a
# random one.
cscs_choose_port() {
	local last=${cscs_listen:-}
	cscs_listen=$cscs_port
	cscs_judge_port "$cscs_listen"
	cscs_before=" ${cscs_found[*]} "
	if ((cscs_port == 0)); then
		cscs_judge_seen_port "$cscs_wish"
		if ((cscs_wish)) && [[ $cscs_wish != "$last" && $cscs_verdict == none ]]; then
			cscs_listen=$cscs_wish
			return 0
		fi
		cscs_free_port || {
			cscs_end=port cscs_message="no free port on $cscs_node"
			return 1
		}
		cscs_listen=$REPLY
		return 0
	fi
	cscs_is_port_free && return 0
	cscs_end=port cscs_message="port $cscs_listen on $cscs_node is taken by $(cscs_owner "${cscs_sock##* }" "$cscs_uid")"
	return 1
}

# cscs_owner INODE UID: prints in words who owns a socket.
cscs_owner() {
	if [[ -z $2 ]]; then
		local pid name=''
		pid=$(cscs_holder "$1")
		if [[ -n $pid ]]; then
			# Print its name only: its arguments can contain a token, and the event is stored
			# (invariant I6).
			{ IFS= read -r name <"/proc/$pid/comm"; } 2>/dev/null
			printf 'your process %d (%s)' "$pid" "$name"
		else
			printf 'another process of yours'
		fi
	else
		printf 'user %s' "$(id -un "$2" 2>/dev/null || printf '%s' "$2")"
	fi
}

# cscs_holder INODE [PID]: prints the process of this user that has the socket open, or only PID if
# given. It uses one find, because a process can have many files, and a loop would fork for each.
cscs_holder() {
	local fd
	# shellcheck disable=SC2086 # a pattern
	fd=$(find /proc/${2:-[0-9]*}/fd -maxdepth 1 -lname "socket:\\[$1\\]" -print -quit 2>/dev/null)
	fd=${fd#/proc/}
	printf '%s' "${fd%%/*}"
}

# Maximum number of other sockets that are reported.
cscs_reports_most=2000

# cscs_start_server: starts the server in its own session. Its output goes through a pipe into a log
# that cannot fill the disk.
cscs_start_server() {
	local log
	rm -f "$cscs_dir/failure" "$cscs_dir/launched" "$cscs_dir/served" "$cscs_dir/inside" "$cscs_dir/expanded"
	printf '%s\n' "$cscs_listen" >"$cscs_dir/port"
	cscs_server_code='' cscs_end='' cscs_message='' cscs_reports=0
	cscs_measured=$cscs_clock cscs_work='' cscs_worked=''
	declare -gA cscs_reported=()
	exec {log}> >(trap '' TERM INT URG && cscs_write_log)
	cscs_logger=$!
	# The server must not ignore the signals that the runner ignores.
	trap - HUP PIPE
	CSCS_SESSION=$cscs_id setsid bash --noprofile --norc -p "$cscs_dir/remote.sh" login </dev/null >&"$log" 2>&1 {log}>&- &
	cscs_pid=$!
	trap '' HUP PIPE
	exec {log}>&-
}

# cscs_write_log: keeps at most the newest 64 MiB of its input, in two files; the older one is
# replaced. A server that floods is slowed down and not stopped, and so is one whose log has no
# space. By itself, head holds back output until it has 4 KiB, and a quiet server's log would stay
# empty.
cscs_write_log() {
	local half=${cscs_log_half:-33554432} at_once=()
	! command -v stdbuf >/dev/null || at_once=(stdbuf -o0)
	while "${at_once[@]}" head -c "$half" >"$cscs_dir/log" && (($(wc -c <"$cscs_dir/log") >= half)); do
		mv -f "$cscs_dir/log" "$cscs_dir/log.1"
	done
	cat >/dev/null
}

# cscs_watch: watches the server from its start to its end; sets cscs_end to exit, asked, term,
# lease, wide, collision, unready, setup or shell.
cscs_watch() {
	local nap=20 state=starting sock='' rest=0 checked=-100000 wide from=$cscs_clock told=''
	while :; do
		if [[ -n $cscs_stop ]]; then
			case $cscs_stop in
			asked) cscs_stop_server asked ;;
			*) cscs_stop_server term ;;
			esac
			return
		fi
		if ! kill -0 "$cscs_pid" 2>/dev/null && [[ -z $cscs_server_code ]]; then
			wait "$cscs_pid"
			cscs_server_code=$?
			rest=$((cscs_clock - 1000)) checked=-100000000
		fi
		# While the server listens, check every 2 s, unless a check costs more than 10 ms.
		if ((cscs_clock - checked >= (nap <= 100 ? 0 : cscs_look_rest > 2000 ? cscs_look_rest : 2000))); then
			checked=$cscs_clock
			cscs_judge_port "$cscs_listen"
			if [[ $cscs_verdict == wide && $cscs_allow_wide != 1 ]]; then
				cscs_message="the server listens on $cscs_bound port $cscs_listen, where others can reach it"
				cscs_stop_server wide
				return
			fi
			case $cscs_verdict in
			ours | wide)
				if [[ $cscs_sock != "$sock" ]]; then
					sock=$cscs_sock state=up wide=''
					[[ $cscs_verdict != wide ]] || wide=1
					cscs_event listening "addr=$cscs_addr" "port=$cscs_listen" "bound=$cscs_bound" "uid=$UID" "wide=$wide"
				fi
				# Once the server listens, no change must be seen within milliseconds.
				nap=250
				;;
			*)
				if [[ $state == up ]]; then
					cscs_event closed "verdict=$cscs_verdict"
					state=down sock='' nap=50
				fi
				;;
			esac
			[[ $state == up && $cscs_forward_new != 1 ]] || cscs_report_elsewhere
		fi
		cscs_report_hang "$state"
		[[ $state != starting ]] || cscs_report_work
		# A server that puts itself into the background is watched by its socket.
		if [[ -n $cscs_server_code ]]; then
			if ((cscs_server_code != 0)) || [[ $state == down ]]; then
				cscs_explain_end "$state"
				return
			elif [[ $state == starting ]] && ((cscs_clock - rest >= 1000)); then
				rest=$cscs_clock
				cscs_find_server || {
					cscs_explain_end "$state"
					return
				}
			fi
		fi
		printf -v REPLY '0.%03d' "$nap"
		cscs_nap "$REPLY"
		cscs_uptime
		cscs_clock=$((REPLY - cscs_born))
		cscs_write_pulse
		if ((cscs_clock - cscs_looked >= cscs_lease_look)); then
			if cscs_is_lease_over $((cscs_clock - cscs_looked)); then
				cscs_message="the lease of $cscs_lease s was not renewed"
				cscs_stop_server lease
				return
			fi
			cscs_looked=$cscs_clock
		fi
		# A slow start of several seconds needs no check every 20 ms.
		((nap < 100 && cscs_clock > 5000)) && nap=100
	done
}

# cscs_report_work: reports whether the server works while it starts: its log grows or its processes
# compute. So a server that loads a model does not count as one that hangs.
cscs_report_work() {
	local was=$cscs_work pid stat=() bytes ticks=0
	[[ -e $cscs_dir/launched ]] || ((${#cscs_step_args[@]})) || return 0
	((cscs_clock - cscs_measured >= 2000)) || return 0
	cscs_measured=$cscs_clock
	bytes=$(cat "$cscs_dir/log" "$cscs_dir/log.1" 2>/dev/null | wc -c)
	cscs_find_processes
	for pid in "${cscs_pids[@]}"; do
		cscs_read_stat "$pid" || continue
		# utime and stime, in 1/100 s
		((ticks += stat[11] + stat[12]))
	done
	cscs_work="$bytes $ticks"
	[[ -n $was ]] || return 0
	# A server that waits takes less than 2 % of a processor.
	if ((bytes != ${was% *} || ticks - ${was#* } >= 4)); then
		[[ -n $cscs_worked ]] || cscs_event work busy=1
		cscs_worked=$cscs_clock
	elif [[ -n $cscs_worked ]] && ((cscs_clock - cscs_worked >= cscs_work_pause)); then
		cscs_worked=''
		cscs_event work busy=
	fi
}

# Milliseconds without work after which a starting server is reported as resting.
cscs_work_pause=30000

# cscs_report_hang STATE: reports a login shell that does not finish its start-up files and so does
# not reach the server. Reports it again when it has finished after all. For cscs_watch.
cscs_report_hang() {
	[[ $1 == starting && -z $cscs_server_code ]] || return 0
	if [[ -e $cscs_dir/launched ]]; then
		[[ -z $told ]] || cscs_event launched
		told='' from=999999999
	elif [[ -z $told ]] && ((cscs_clock - from >= cscs_shell_timeout)); then
		told=1
		cscs_event unlaunched "node=$cscs_node" "after=$((cscs_shell_timeout / 1000))"
	fi
}

# Milliseconds that a login shell may take.
cscs_shell_timeout=8000

# cscs_explain_end STATE: sets cscs_end and cscs_message to the reason for which the server ended by
# itself.
cscs_explain_end() {
	cscs_end='exit'
	if [[ -s $cscs_dir/failure ]]; then
		cscs_end=setup
		IFS= read -r cscs_message <"$cscs_dir/failure"
	elif [[ ! -e $cscs_dir/launched ]]; then
		cscs_end=shell cscs_message="the login shell on $cscs_node ended with status $cscs_server_code in its start-up files"
	elif ((${#cscs_step_args[@]})) && [[ ! -e $cscs_dir/inside ]]; then
		cscs_explain_step
	elif [[ $1 == starting ]]; then
		cscs_judge_port "$cscs_listen"
		cscs_is_port_free || cscs_end=collision
		[[ $cscs_end == collision && $cscs_port != 0 ]] && cscs_message="port $cscs_listen on $cscs_node was taken by another process"
	fi
	cscs_signal_processes KILL
}

# cscs_explain_step: sets cscs_end and cscs_message to the reason for which the step of a uenv or
# container never ran.
cscs_explain_step() {
	local line words=''
	cscs_wait_for_log
	while IFS= read -r line && ((${#words} < 500)); do
		# The plugins of uenv and containers fail in srun, or in slurmstepd on the node. slurmstepd
		# begins a line with its own name or, from 26.05 on, with the time.
		case $line in
		*': task '*': Exited with exit code '*) ;;
		'srun: '* | *' error: '*) words+=${words:+|}$line ;;
		esac
	done <"$cscs_dir/log"
	cscs_end=setup cscs_message="${words:-srun ended with status $cscs_server_code}"
	if [[ $words == *'Unable to create step'* ]] || cscs_missed_slurmctld "$words"; then
		cscs_end=unready
	fi
}

# cscs_report_elsewhere: reports sockets of this user, by the last check, that did not exist before
# the server. Each is reported once, so that the client can say that the server listens elsewhere,
# and as a warning (invariant I4). With cscs_forward_new it reports their end too, and first,
# because a socket that comes again is a new one. The event file has to stay small, because it is
# read whole again and again.
cscs_report_elsewhere() {
	local s a p u i
	local -A here=()
	for s in "${cscs_found[@]}"; do
		cscs_split_socket "$s"
		[[ $u == "$UID" && $p != "$cscs_listen" && $cscs_before != *" $s "* ]] && here[$s]=1
	done
	if ((cscs_forward_new)); then
		for s in "${!cscs_reported[@]}"; do
			[[ -z ${here[$s]:-} ]] || continue
			cscs_split_socket "$s"
			unset "cscs_reported[$s]"
			cscs_event vanished "addr=$a" "port=$p"
		done
	fi
	for s in "${!here[@]}"; do
		((cscs_reports < cscs_reports_most)) || return 0
		[[ -z ${cscs_reported[$s]:-} ]] || continue
		cscs_split_socket "$s"
		if cscs_is_of_srun "$i"; then
			cscs_before+="$s "
			continue
		fi
		cscs_reported[$s]=1
		cscs_event elsewhere "addr=$a" "port=$p"
		((++cscs_reports < cscs_reports_most)) ||
			cscs_event note "message=your processes have opened $cscs_reports_most other ports: cscs reports no more"
	done
}

# cscs_is_of_srun INODE: succeeds if the srun of the server's step has that socket open. It listens
# for slurmctld and for the step's output.
cscs_is_of_srun() {
	((${#cscs_step_args[@]})) && [[ -n $(cscs_holder "$1" "$cscs_pid") ]]
}

# cscs_stop_server REASON: asks the server to end, waits for the grace, and kills it.
cscs_stop_server() {
	local waited=0 why=''
	cscs_end=$1
	cscs_event stopping "reason=$1"
	# Ask for the reason before the runner cancels the job: afterwards Slurm reports only the
	# cancellation.
	[[ $1 != term ]] || exec {why}< <(exec timeout 10 scontrol --local --oneliner show job "$cscs_job" 2>/dev/null)
	[[ $cscs_stop == slurm ]] || cscs_signal_server
	while ((waited < cscs_grace * 1000)); do
		if [[ -n $cscs_server_code ]]; then # the server is in the background
			cscs_find_server || break
		else
			kill -0 "$cscs_pid" 2>/dev/null || break
		fi
		# Perhaps Slurm's signal reached the runner only.
		((waited != 3000)) || [[ $cscs_stop != slurm ]] || cscs_signal_server
		cscs_nap 0.05
		((waited += 50))
	done
	if kill -0 "$cscs_pid" 2>/dev/null; then
		cscs_message+="${cscs_message:+; }the server did not end within $cscs_grace s and was killed"
	fi
	cscs_signal_processes KILL
	# A process that hangs in the kernel ignores even SIGKILL; the job ends all the same.
	for ((waited = 0; waited < 2000; waited += 20)); do
		kill -0 "$cscs_pid" 2>/dev/null || break
		cscs_nap 0.02
	done
	if [[ -z $cscs_server_code ]] && ! kill -0 "$cscs_pid" 2>/dev/null; then
		wait "$cscs_pid"
		cscs_server_code=$?
	fi
	if [[ -n $why ]]; then
		IFS= read -r cscs_info <&"$why"
		exec {why}<&-
		cscs_find_cause
	fi
}

# cscs_find_cause: sets cscs_cause to the reason for which Slurm ends the job, if the job's state
# will not show it after the runner's cancellation: PREEMPTED, since such a job still runs for its
# grace time (slurm.conf(5), GraceTime), or REQUEUED.
cscs_find_cause() {
	cscs_cause=''
	if [[ $cscs_info =~ ' PreemptTime='[0-9]+ ]]; then
		cscs_cause=PREEMPTED
	elif [[ $cscs_info =~ ' Restarts='([0-9]+) ]] && ((BASH_REMATCH[1] > ${SLURM_RESTART_COUNT:-0})); then
		cscs_cause=REQUEUED
	fi
}

# cscs_find_processes [SIGNAL]: sets cscs_pids to the processes of the session on this node; fails
# if there are none. It sends the signal to each at once, because after the search the number can be
# another process's. The processes have the session's mark in their environment. One that went into
# the background or into its own session is no longer the runner's child, and some of Slurm's ways
# to track processes lose it. A job that was submitted from the session inherits the mark, so the
# process must belong to this job as well.
cscs_find_processes() {
	local f env e marked job
	cscs_pids=()
	for f in /proc/[0-9]*; do
		[[ -O $f ]] || continue
		{ mapfile -d '' -t env <"$f/environ"; } 2>/dev/null || continue
		marked='' job=''
		for e in "${env[@]}"; do
			case $e in
			"CSCS_SESSION=$cscs_id") marked=1 ;;
			SLURM_JOB_ID=*) job=${e#*=} ;;
			esac
		done
		[[ -n $marked ]] || continue
		if [[ $job == "$cscs_job" ]] || { [[ -z $job ]] && cscs_is_in_job "$f"; }; then
			cscs_pids+=("${f#/proc/}")
			[[ -z ${1:-} ]] || kill -s "$1" "${f#/proc/}" 2>/dev/null
		fi
	done
	((${#cscs_pids[@]}))
}

# cscs_find_server: succeeds if a process of the session can be the server's: it did not begin
# before the server (a start-up file or --setup left such a process), and is not a child of one that
# did.
cscs_find_server() {
	local served=0 pid stat=() found
	local -A left=() parent=()
	{ IFS= read -r served <"$cscs_dir/served"; } 2>/dev/null
	cscs_find_processes || return
	for pid in "${cscs_pids[@]}"; do
		cscs_read_stat "$pid" || continue
		# The parent is the 2nd of these fields. The start time, in 1/100 s, is the 20th.
		if ((stat[19] * 10 < ${served:-0})); then left[$pid]=1; else parent[$pid]=${stat[1]}; fi
	done
	found=1
	while [[ -n $found ]]; do
		found=''
		for pid in "${!parent[@]}"; do
			[[ -n ${left[${parent[$pid]}]:-} ]] || continue
			unset "parent[$pid]"
			left[$pid]=1 found=1
		done
	done
	((${#parent[@]}))
}

# cscs_is_in_job /proc/PID: for a process that has unset Slurm's variables: succeeds if it is in the
# cgroup of this job (cgroup.conf(5): .../job_N/step_M/...).
cscs_is_in_job() {
	local line
	while IFS= read -r line; do
		[[ $line != */"job_$cscs_job"/* ]] || return 0
	done 2>/dev/null <"$1/cgroup"
	return 1
}

# cscs_signal_server: sends SIGTERM once to each process of the server's group. Some servers take a
# second one as "at once", and end what they started (kernels, in their own sessions) themselves.
# srun would end the server's own step more abruptly, so there the signal goes to the server in the
# step.
cscs_signal_server() {
	local pid
	if [[ -n $cscs_server_code ]]; then # the server is in the background
		cscs_find_processes TERM
	elif ((${#cscs_step_args[@]})) && { IFS= read -r pid <"$cscs_dir/inside"; } 2>/dev/null &&
		cscs_find_processes && [[ " ${cscs_pids[*]} " == *" $pid "* ]]; then
		kill -s TERM "$pid" 2>/dev/null
	else
		cscs_signal_group TERM
	fi
	return 0
}

# cscs_signal_group SIGNAL: signals the server's process group while the server leads it. Afterwards
# the number can be another group's, of a job on the same node.
cscs_signal_group() {
	[[ -z $cscs_server_code ]] && kill -0 "$cscs_pid" 2>/dev/null && kill -s "$1" -- "-$cscs_pid" 2>/dev/null
}

# cscs_signal_processes SIGNAL: signals the server's process group and all processes of the session.
cscs_signal_processes() {
	cscs_signal_group "$1"
	cscs_find_processes "$1"
	return 0
}

# cscs_wait_for_log: waits up to 2 s until the log has the server's last lines.
cscs_wait_for_log() {
	local waited
	for ((waited = 0; waited < 2000; waited += 20)); do
		kill -0 "$cscs_logger" 2>/dev/null || return
		cscs_nap 0.02
	done
}
