# follow: prints the session's events from a byte on, until the client is gone. While the job waits
# in the queue, it reports the queue. Later it watches the runner's pulse, and asks Slurm when the
# pulse stops.

# cscs_read_events: prints the new lines behind byte cscs_offset. It opens the file anew each time:
# on a shared file system, this makes writes of another host visible.
cscs_read_events() {
	local LC_ALL=C lines=() line at=0 job
	{ mapfile lines <"$cscs_dir/events"; } 2>/dev/null || return 1
	# While the server serves, one read a second brings nothing new for hours.
	[[ ${#lines[@]} != "$cscs_read_lines" ]] || return 0
	cscs_read_lines=${#lines[@]}
	for line in "${lines[@]}"; do
		[[ $line == *$'\n' ]] || {
			cscs_read_lines=''
			break
		}
		# Lines that were printed before count too: the next step follows from them. Other sockets
		# do not show how far the server is.
		cscs_is_aside "$line" || cscs_seen=${line%$'\n'}
		((at += ${#line}))
		cscs_parse_alive "$line"
		((at > cscs_offset)) || continue
		# A job of sbatch's reports itself that it runs. The grant is reported first.
		if [[ $line == alive*"$cscs_tab"job=* ]]; then
			job=${line#*"$cscs_tab"job=}
			job=${job%%"$cscs_tab"*}
			if [[ -z $cscs_granted || $job != "$cscs_job" ]]; then
				cscs_job=$job
				cscs_report_grant
			fi
		fi
		printf '@%s' "$line"
		cscs_offset=$at
	done
}

# cscs_is_aside LINE: succeeds if LINE of the event file does not show how far the session is.
cscs_is_aside() { [[ $1 == @(elsewhere|vanished|note|scanned)"$cscs_tab"* ]]; }

# cscs_parse_alive LINE: sets cscs_runner_step to the runner's step if LINE of the event file has
# it.
cscs_parse_alive() {
	[[ $1 == alive*[[:space:]]step=* ]] || return 0
	cscs_runner_step=${1#*[[:space:]]step=}
	cscs_runner_step=${cscs_runner_step%%[[:space:]]*}
}

# cscs_report_job_state: reports the job as Slurm knows it, to a client that must know why its
# events ended. Slurm knows a job for some minutes after its end (MinJobAge).
cscs_report_job_state() {
	cscs_info=$(cscs_exec_query scontrol --local --oneliner show job "$cscs_job" 2>&1)
	cscs_say job "job=$cscs_job" "info=$cscs_info"
}

# cscs_report_job_end: reports the state in which the job ended. Slurm needs a moment to report more
# than COMPLETING. To the runner, a scancel of the whole job and its time limit look the same.
cscs_report_job_end() {
	local nap
	for nap in 0.1 0.3 0.6 1 2 4 8; do
		cscs_report_job_state
		cscs_holds_nodes "$cscs_info" || return
		cscs_nap "$nap"
	done
}

# cscs_is_step_gone: succeeds if Slurm reports that it no longer has the runner's step. Any other
# answer proves nothing. squeue is no substitute: it omits the steps of a job that manages its steps
# itself (slurm.conf(5), enable_stepmgr).
cscs_is_step_gone() {
	local answer
	[[ -n $cscs_runner_step ]] || return 1
	answer=$(cscs_exec_query scontrol --local --oneliner show step "$cscs_job.$cscs_runner_step" 2>&1)
	[[ $answer == *"$cscs_job.$cscs_runner_step not found"* ]]
}

# cscs_follow OFFSET: prints the events behind byte OFFSET, handles the client's lines, and returns
# when the session or the client ends.
cscs_follow() {
	local line part='' code nap=50 now pulse='' last='' beats=0 beat asked=0 checked=0
	cscs_uptime
	now=$REPLY beat=$REPLY
	cscs_offset=$1 cscs_seen='' cscs_read_lines=''
	while :; do
		if ! cscs_read_events && [[ ! -d $cscs_dir ]]; then
			cscs_report_missing_dir
			return
		fi
		case $cscs_seen in
		exited*reason=term*)
			cscs_report_job_end
			return
			;;
		# The client that requested the end does the rest.
		exited*reason=asked*) return ;;
		exited* | stepfailed*)
			cscs_report_job_state
			return
			;;
		# Read often while an event is expected, and seldom once the server listens.
		listening*) nap=1000 ;;
		*) nap=50 ;;
		esac
		# A job in the queue reports nothing for long; one that was just requested can start.
		[[ -n $cscs_granted ]] || nap=$((now - cscs_waits < 3000 ? 50 : now - cscs_waits < 10000 ? 250 : 1000))
		# The timeout of this read is the interval of this loop. The client's end ends it.
		printf -v line '%d.%03d' $((nap / 1000)) $((nap % 1000))
		IFS= read -r -t "$line" -u 0 line
		code=$?
		# On a loaded host the read can time out in the middle of a line.
		part+=$line
		((code == 0 || code > 128)) || return
		if ((code == 0)); then
			if cscs_handle_client_line "$part" && [[ -z $cscs_granted ]]; then cscs_withdraw; fi
			part=''
		fi
		if [[ -n $cscs_detaching ]] && cscs_can_continue; then
			cscs_mark_detached
			cscs_say detached
			return
		fi
		if [[ -z $cscs_granted ]]; then
			cscs_ask_when_due
			case $cscs_state in
			RUNNING) cscs_report_grant ;;
			gone)
				[[ -n $cscs_job ]] || {
					cscs_say gone
					return
				}
				cscs_read_events
				[[ $cscs_seen == exited* ]] || {
					cscs_report_job_end
					return
				}
				;;
			esac
		fi
		cscs_uptime
		now=$REPLY
		[[ -n $cscs_granted ]] || {
			beat=$now
			continue
		}

		# The runner's pulse grows every 5 s, and every second in the beginning.
		{ IFS= read -r last <"$cscs_dir/pulse"; } 2>/dev/null
		if [[ $last != "$pulse" ]]; then
			pulse=$last beat=$now
			((beats++))
			# The client was informed that Slurm had suspended the job.
			[[ $cscs_info != *' JobState=SUSPENDED '* ]] || cscs_report_job_state
		elif [[ -n ${cscs_let_go:-} ]] && ((beats < 2 && now - beat > 6000)); then
			cscs_let_go=''
			if cscs_is_step_gone; then
				cscs_report_job_state
				! cscs_ends_with_job || return 0
				cscs_restart_runner
			fi
			beat=$now
		elif [[ -z $cscs_runner_step ]] && ((now - checked > 5000)) && checked=$now && cscs_is_starter_gone $((now - beat)); then
			cscs_report_job_state
			# Nothing guards the job, and no process counts its lease.
			if [[ $cscs_info == *' JobState=RUNNING '* ]]; then
				cscs_say exited reason=killed code= "message=no process is left that starts the server in job $cscs_job: the login node went down, or our command there was killed, right after salloc's grant"
				return
			fi
		elif ((now - beat > 20000 && now - asked > 60000)); then
			asked=$now
			cscs_report_job_state
			# Slurm can put a job that it could not launch back into the queue.
			if [[ $cscs_info == *' JobState=PENDING '* && -z $cscs_runner_step ]]; then
				cscs_granted=''
				cscs_say requeued "job=$cscs_job"
				cscs_begin_waiting
				continue
			fi
			! cscs_has_moved || continue
			! cscs_ends_with_job || return 0
			# The job would run on without a guard.
			if [[ $cscs_info == *' JobState=RUNNING '* ]] && cscs_is_step_gone; then
				cscs_say exited reason=killed code= "message=our job step was killed (scancel of the step, or out of memory?)"
				return
			fi
		fi
	done
}

# cscs_ends_with_job: after cscs_report_job_state: succeeds, and has informed the client, if the job
# has ended without a runner to report it. A missing answer of Slurm's proves nothing.
cscs_ends_with_job() {
	! cscs_holds_nodes "$cscs_info" && [[ $cscs_info == *@(' JobState='|'Invalid job id')* ]] || return 1
	[[ $cscs_info != *' JobState=PENDING '* ]] || cscs_say exited reason=term code= message=
}

# cscs_restart_runner: starts the runner again after an early end of its step. On some clusters a
# step does not outlive its srun, so it keeps this one.
cscs_restart_runner() {
	cscs_say note "message=the job step of cscs ended within seconds of its start: starting it again, and keeping its srun on the login node"
	cscs_forget_runner
	cscs_start_runner keep
}

# cscs_forget_runner: removes what a runner has reported, before another one starts.
cscs_forget_runner() {
	: >"$cscs_dir/events"
	cscs_say restart
	cscs_offset=0 cscs_seen='' cscs_read_lines=''
}

# cscs_has_moved: succeeds if the session has another job than this process knows: the process that
# started it has given its request to sbatch (cscs_move_to_batch).
cscs_has_moved() {
	local job=''
	{ IFS= read -r job <"$cscs_dir/batch"; } 2>/dev/null
	[[ $job == +([0-9]) && $job != "$cscs_job" ]] || return 1
	cscs_say requeued "job=$cscs_job" "message=job $cscs_job has ended: sbatch has requested job $job in its place"
	cscs_job=$job cscs_granted='' cscs_info_job=''
	cscs_say pending "job=$cscs_job" kept=1
	cscs_begin_waiting
}

# cscs_can_continue: succeeds if the session can continue without this process. A runner's step must
# have shown that it outlives its srun.
cscs_can_continue() {
	[[ -z $cscs_granted ]] || [[ -n $cscs_runner_step ]] && { [[ -z $cscs_let_go ]] || ((beats >= 2)); }
}

# cscs_report_missing_dir: reports that the session's directory is missing. If the job is gone too,
# the session has ended: a stop for another client removed the directory. Otherwise this login node
# does not see the directory, which does not end the session.
cscs_report_missing_dir() {
	local job
	if ! cscs_find_session_jobs; then
		cscs_die away "$cscs_dir does not exist on ${HOSTNAME%%.*}, and Slurm does not answer"
	fi
	job=${cscs_jobs[0]:-${cscs_unproven[0]:-}}
	if [[ -n $job ]]; then
		cscs_die away "$cscs_dir does not exist on ${HOSTNAME%%.*}, although job ${job%% *} does"
	elif [[ -d $HOME ]]; then
		cscs_say exited reason=asked code= message=
	elif [[ -n $cscs_job ]]; then
		cscs_report_job_end
	else
		cscs_check_home away
	fi
}

# cscs_take_up_queued: for a client that has no report of a grant.
cscs_take_up_queued() {
	local job=''
	{ IFS= read -r job <"$cscs_dir/batch"; } 2>/dev/null
	if [[ $job == +([0-9]) ]]; then
		cscs_report_queued "$job"
	else
		cscs_begin_waiting
	fi
}

# follow by itself: the client has reconnected, possibly to another login node.
cscs_take_up() {
	cscs_find_slurm
	cscs_find_dir
	[[ -d $cscs_dir ]] || {
		cscs_report_missing_dir
		return
	}
	cscs_say hello "host=${HOSTNAME%%.*}" "dir=$cscs_dir"
	[[ -n $cscs_granted ]] || cscs_take_up_queued
	cscs_follow "$cscs_from"
}
