# follow: prints the session's events from a byte on, for as long as the client
# listens. It watches the runner's pulse, and asks Slurm when that stops.

# cscs_read_events: prints the lines that are new since byte cscs_offset. The
# file is opened anew each time: on a shared file system that is what makes the
# writes of another host seen.
cscs_read_events() {
	local LC_ALL=C lines=() line at=0
	{ mapfile lines <"$cscs_dir/events"; } 2>/dev/null || return 1
	for line in "${lines[@]}"; do
		[[ $line == *$'\n' ]] || break
		# Also of what was printed before: what is expected follows from it. Other sockets
		# say nothing of how far the server has come.
		[[ $line == @(elsewhere|vanished|note)"$cscs_tab"* ]] || cscs_seen=${line%$'\n'}
		((at += ${#line}))
		[[ $line != alive*[[:space:]]step=* ]] || {
			cscs_runner_step=${line#*[[:space:]]step=}
			cscs_runner_step=${cscs_runner_step%%[[:space:]]*}
		}
		((at > cscs_offset)) || continue
		printf '@%s' "$line"
		cscs_offset=$at
	done
}

# cscs_job_state: the job as Slurm knows it, for a client that wants to know why
# its events ended. Known for some minutes after the end (MinJobAge).
cscs_job_state() {
	cscs_info=$(scontrol --local --oneliner show job "$cscs_job" 2>&1)
	cscs_say job "job=$cscs_job" "info=$cscs_info"
}

# cscs_why: the state in which the job ended. Slurm needs a moment to say more
# than COMPLETING; a scancel of the whole job or its time limit looks the same to
# the runner.
cscs_why() {
	local nap
	for nap in 0.1 0.3 0.6 1 2 4 8; do
		cscs_job_state
		[[ $cscs_info == *' JobState='@(RUNNING|COMPLETING|SUSPENDED)' '* ]] || return
		cscs_nap "$nap"
	done
}

# cscs_step_gone: does Slurm say that it no longer has the runner's step? No answer
# says nothing.
cscs_step_gone() {
	local answer step
	answer=$(squeue --local --noheader --steps --jobs="$cscs_job" --format=%i 2>/dev/null) || return 1
	while IFS= read -r step; do
		[[ $step == *.${cscs_runner_step:-+([0-9])} ]] && return 1
	done <<<"$answer"
	return 0
}

cscs_follow() {
	local line code nap=50 now pulse='' last='' beats=0 beat asked=0
	cscs_uptime
	beat=$REPLY
	cscs_offset=$1 cscs_seen=''
	while :; do
		if ! cscs_read_events && [[ ! -d $cscs_dir ]]; then
			cscs_say gone
			return
		fi
		case $cscs_seen in
		exited*reason=term*)
			cscs_why
			return
			;;
		exited*)
			cscs_job_state
			return
			;;
		# Quick while something is expected, slow once it serves.
		listening*) nap=1000 ;;
		*) nap=50 ;;
		esac
		# The client's lines are the clock of this loop; its end is ours.
		printf -v line '%d.%03d' $((nap / 1000)) $((nap % 1000))
		IFS= read -r -t "$line" -u 0 line
		code=$?
		((code == 0 || code > 128)) || return
		((code != 0)) || cscs_renew "$line"
		cscs_uptime
		now=$REPLY

		# The runner's pulse beats every 5 s, and every second in the beginning.
		{ IFS= read -r last <"$cscs_dir/pulse"; } 2>/dev/null
		if [[ $last != "$pulse" ]]; then
			pulse=$last beat=$now
			((beats++))
		elif [[ -n ${cscs_let_go:-} ]] && ((beats < 2 && now - beat > 6000)); then
			cscs_let_go=''
			if cscs_step_gone; then cscs_start_again; fi
			beat=$now
		elif ((now - beat > 20000 && now - asked > 60000)); then
			asked=$now
			cscs_job_state
			# A job that is over has no runner left to say so. No answer says nothing.
			if [[ $cscs_info != *' JobState='@(RUNNING|COMPLETING|SUSPENDED|CONFIGURING)' '* &&
				$cscs_info == *@(' JobState='|'Invalid job id')* ]]; then
				return
			fi
			# The job would go on without anybody who guards it.
			if [[ $cscs_info == *' JobState=RUNNING '* ]] && cscs_step_gone; then
				cscs_say exited reason=killed code= "message=our job step was killed (scancel of the step, or out of memory?)"
				return
			fi
		fi
	done
}

# cscs_start_again: here a step does not outlive its srun, so this one is kept.
cscs_start_again() {
	cscs_say note "message=a job step does not survive its srun on this cluster: srun is kept on the login node"
	: >"$cscs_dir/events"
	cscs_say restart
	cscs_offset=0 cscs_seen=''
	cscs_runner keep
}

# follow by itself: the client has come back, perhaps to another login node.
cscs_take_up() {
	cscs_have_slurm
	cscs_find_dir
	[[ -d $cscs_dir ]] || {
		cscs_say gone
		return
	}
	cscs_say hello "host=${HOSTNAME%%.*}" "dir=$cscs_dir"
	cscs_follow "$cscs_from"
}
