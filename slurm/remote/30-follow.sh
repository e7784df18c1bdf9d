# follow: prints the session's events from a byte on, for as long as the client
# listens. While the job waits in the queue it tells of that; later it watches the
# runner's pulse, and asks Slurm when that stops.

# cscs_read_events: prints the lines that are new since byte cscs_offset. The
# file is opened anew each time: on a shared file system that is what makes the
# writes of another host seen.
cscs_read_events() {
	local LC_ALL=C lines=() line at=0
	{ mapfile lines <"$cscs_dir/events"; } 2>/dev/null || return 1
	# Of a server that serves, a look a second brings nothing new for hours.
	[[ ${#lines[@]} != "$cscs_read_lines" ]] || return 0
	cscs_read_lines=${#lines[@]}
	for line in "${lines[@]}"; do
		[[ $line == *$'\n' ]] || {
			cscs_read_lines=''
			break
		}
		# Also of what was printed before: what is expected follows from it. Other sockets
		# say nothing of how far the server has come.
		cscs_is_aside "$line" || cscs_seen=${line%$'\n'}
		((at += ${#line}))
		cscs_parse_alive "$line"
		((at > cscs_offset)) || continue
		# A job that sbatch asked for says itself that it runs; what it was granted is told first.
		if [[ -z $cscs_granted && $line == alive"$cscs_tab"* ]]; then
			cscs_job=${line#*"$cscs_tab"job=}
			cscs_job=${cscs_job%%"$cscs_tab"*}
			cscs_grant
		fi
		printf '@%s' "$line"
		cscs_offset=$at
	done
}

# cscs_is_aside LINE: succeeds if LINE of the event file says nothing of how far the session has come.
cscs_is_aside() { [[ $1 == @(elsewhere|vanished|note|scanned)"$cscs_tab"* ]]; }

# cscs_parse_alive LINE: cscs_runner_step is the runner's step, if LINE of the event file says.
cscs_parse_alive() {
	[[ $1 == alive*[[:space:]]step=* ]] || return 0
	cscs_runner_step=${1#*[[:space:]]step=}
	cscs_runner_step=${cscs_runner_step%%[[:space:]]*}
}

# cscs_job_state: the job as Slurm knows it, for a client that wants to know why
# its events ended. Known for some minutes after the end (MinJobAge).
cscs_job_state() {
	cscs_info=$(cscs_exec_query scontrol --local --oneliner show job "$cscs_job" 2>&1)
	cscs_say job "job=$cscs_job" "info=$cscs_info"
}

# cscs_why: the state in which the job ended. Slurm needs a moment to say more
# than COMPLETING; a scancel of the whole job or its time limit looks the same to
# the runner.
cscs_why() {
	local nap
	for nap in 0.1 0.3 0.6 1 2 4 8; do
		cscs_job_state
		cscs_holds_nodes "$cscs_info" || return
		cscs_nap "$nap"
	done
}

# cscs_step_gone: succeeds if Slurm says that it no longer has the runner's step. Any other
# answer says nothing. squeue would not do: it leaves out the steps of a job that manages its
# steps itself (slurm.conf(5), enable_stepmgr).
cscs_step_gone() {
	local answer
	[[ -n $cscs_runner_step ]] || return 1
	answer=$(cscs_exec_query scontrol --local --oneliner show step "$cscs_job.$cscs_runner_step" 2>&1)
	[[ $answer == *"$cscs_job.$cscs_runner_step not found"* ]]
}

cscs_follow() {
	local line part='' code nap=50 now pulse='' last='' beats=0 beat asked=0 checked=0
	cscs_uptime
	now=$REPLY beat=$REPLY
	cscs_offset=$1 cscs_seen='' cscs_read_lines=''
	while :; do
		if ! cscs_read_events && [[ ! -d $cscs_dir ]]; then
			cscs_gone
			return
		fi
		case $cscs_seen in
		exited*reason=term*)
			cscs_why
			return
			;;
		# Who has asked for it looks after the rest.
		exited*reason=asked*) return ;;
		exited* | stepfailed*)
			cscs_job_state
			return
			;;
		# Quick while something is expected, slow once it serves.
		listening*) nap=1000 ;;
		*) nap=50 ;;
		esac
		# A job in the queue says nothing for long; one that has just been asked for may start.
		[[ -n $cscs_granted ]] || nap=$((now - cscs_waits < 3000 ? 50 : now - cscs_waits < 10000 ? 250 : 1000))
		# The client's lines are the clock of this loop; its end is ours.
		printf -v line '%d.%03d' $((nap / 1000)) $((nap % 1000))
		IFS= read -r -t "$line" -u 0 line
		code=$?
		# On a loaded host the time can be over in the middle of a line.
		part+=$line
		((code == 0 || code > 128)) || return
		if ((code == 0)); then
			if cscs_heed "$part" && [[ -z $cscs_granted ]]; then cscs_withdraw; fi
			part=''
		fi
		if [[ -n $cscs_detaching ]] && cscs_stands; then
			cscs_mark_detached
			cscs_say detached
			return
		fi
		if [[ -z $cscs_granted ]]; then
			cscs_ask_in_turn
			case $cscs_state in
			RUNNING) cscs_grant ;;
			gone)
				[[ -n $cscs_job ]] || {
					cscs_say gone
					return
				}
				cscs_read_events
				[[ $cscs_seen == exited* ]] || {
					cscs_why
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

		# The runner's pulse beats every 5 s, and every second in the beginning.
		{ IFS= read -r last <"$cscs_dir/pulse"; } 2>/dev/null
		if [[ $last != "$pulse" ]]; then
			pulse=$last beat=$now
			((beats++))
			# The client was told that Slurm had suspended the job.
			[[ $cscs_info != *' JobState=SUSPENDED '* ]] || cscs_job_state
		elif [[ -n ${cscs_let_go:-} ]] && ((beats < 2 && now - beat > 6000)); then
			cscs_let_go=''
			if cscs_step_gone; then
				cscs_job_state
				! cscs_ends_with_job || return 0
				cscs_start_again
			fi
			beat=$now
		elif [[ -z $cscs_runner_step ]] && ((now - checked > 5000)) && checked=$now && cscs_is_starter_gone $((now - beat)); then
			cscs_job_state
			# Nothing guards the job, and no lease counts.
			if [[ $cscs_info == *' JobState=RUNNING '* ]]; then
				cscs_say exited reason=killed code= "message=no process is left that starts the server in job $cscs_job: the login node went down, or our command there was killed, right after salloc's grant"
				return
			fi
		elif ((now - beat > 20000 && now - asked > 60000)); then
			asked=$now
			cscs_job_state
			# Slurm may put a job that it could not launch back into the queue.
			if [[ $cscs_info == *' JobState=PENDING '* && -z $cscs_runner_step ]]; then
				cscs_granted=''
				cscs_say requeued "job=$cscs_job"
				cscs_begin_turn
				continue
			fi
			! cscs_ends_with_job || return 0
			# The job would go on without anybody who guards it.
			if [[ $cscs_info == *' JobState=RUNNING '* ]] && cscs_step_gone; then
				cscs_say exited reason=killed code= "message=our job step was killed (scancel of the step, or out of memory?)"
				return
			fi
		fi
	done
}

# cscs_ends_with_job: after cscs_job_state: succeeds, and has told the client, if the job is over and has no runner
# left to say so. An answer of Slurm's that is missing says nothing.
cscs_ends_with_job() {
	! cscs_holds_nodes "$cscs_info" && [[ $cscs_info == *@(' JobState='|'Invalid job id')* ]] || return 1
	[[ $cscs_info != *' JobState=PENDING '* ]] || cscs_say exited reason=term code= message=
}

# cscs_start_again: starts the runner again, whose step ended early. On some clusters a step does not
# outlive its srun, so this one is kept.
cscs_start_again() {
	cscs_say note "message=the job step of cscs ended within seconds of its start: it is started again, and its srun is kept on the login node"
	: >"$cscs_dir/events"
	cscs_say restart
	cscs_offset=0 cscs_seen='' cscs_read_lines=''
	cscs_runner keep
}

# cscs_stands: does the session go on without us? A runner's step must have shown that it
# survives its srun.
cscs_stands() {
	[[ -z $cscs_granted ]] || [[ -n $cscs_runner_step ]] && { [[ -z $cscs_let_go ]] || ((beats >= 2)); }
}

# cscs_gone: the session's directory is not there. If the job is not either, the session is
# over: a stop for another client has removed it. Else this login node does not see the
# directory, which is no reason to end the session.
cscs_gone() {
	local job
	if ! cscs_queue; then
		cscs_die away "$cscs_dir is not there on ${HOSTNAME%%.*}, and Slurm does not answer"
	fi
	job=${cscs_jobs[0]:-${cscs_unproven[0]:-}}
	if [[ -n $job ]]; then
		cscs_die away "$cscs_dir is not there on ${HOSTNAME%%.*}, though job ${job%% *} is"
	elif [[ -d $HOME ]]; then
		cscs_say exited reason=asked code= message=
	elif [[ -n $cscs_job ]]; then
		cscs_why
	else
		cscs_see_home away
	fi
}

# cscs_take_up_queued: for a client that has not heard of a grant.
cscs_take_up_queued() {
	local job=''
	{ IFS= read -r job <"$cscs_dir/batch"; } 2>/dev/null
	if [[ $job == +([0-9]) ]]; then
		cscs_in_queue "$job"
	else
		cscs_begin_turn
	fi
}

# follow by itself: the client has come back, perhaps to another login node.
cscs_take_up() {
	cscs_have_slurm
	cscs_find_dir
	[[ -d $cscs_dir ]] || {
		cscs_gone
		return
	}
	cscs_say hello "host=${HOSTNAME%%.*}" "dir=$cscs_dir"
	[[ -n $cscs_granted ]] || cscs_take_up_queued
	cscs_follow "$cscs_from"
}
