# Requests by salloc, which Slurm tries the moment they arrive. A request that waits is a process on
# the login node, so sbatch gets it at once (24-batch.sh). From the grant until its runner has
# started, the job has no guard.

# cscs_request_salloc [OPTION]...: makes the request by salloc, with these options before the
# user's. Succeeds if the allocation is granted. Otherwise cscs_code and cscs_words describe the end
# of salloc. If cscs_quick was set, cscs_handover can be "taken": the request would have waited, and
# Slurm no longer has it.
cscs_request_salloc() {
	local line part=''
	cscs_words='' cscs_job=''
	# salloc runs in its own session, so that a signal that ends this shell does not end it.
	cscs_mark_asking $$
	cscs_process_began $$
	printf '%s %s %s\n' "${HOSTNAME%%.*}" $$ "$REPLY" >"$cscs_dir/starter"
	exec {cscs_out}< <(
		cscs_presets SBATCH SALLOC
		exec setsid salloc --no-shell --job-name="$cscs_name" "$@" "${cscs_salloc_args[@]}" 2>&1 </dev/null
	)
	cscs_salloc=$!
	cscs_mark_asking "$cscs_salloc"
	while :; do
		IFS= read -r -t 0.25 -u "$cscs_out" line
		cscs_code=$?
		if ((cscs_code != 0)); then
			part+=$line
			((cscs_code > 128)) || break
			if cscs_has_client_left || cscs_is_silent; then
				[[ -z $cscs_handover ]] || cscs_record_job salloc "$cscs_job" # no other request exists
				cscs_withdraw
			fi
			if [[ -n $cscs_handover ]]; then
				! cscs_take_back || break
			elif [[ -n $cscs_job ]]; then
				cscs_ask_while_waiting
			fi
			continue
		fi
		line=$part$line part=''
		case $line in
		*'Pending job allocation '*)
			cscs_job=${line##* }
			if [[ -n $cscs_quick ]]; then
				cscs_begin_taking_back
				! cscs_take_back || break
				continue
			fi
			cscs_record_job salloc "$cscs_job"
			[[ -z $cscs_unbatched ]] ||
				cscs_say note "message=sbatch refuses what salloc accepts (${cscs_unbatched//|/; }): the request waits with salloc, on ${HOSTNAME%%.*}"
			cscs_say pending "job=$cscs_job"
			cscs_begin_waiting
			;;
		*'Granted job allocation '*)
			cscs_job=${line##* }
			cscs_granted=1
			break
			;;
		*'queued and waiting for resources'* | *'has been allocated resources'*) ;;
		*) cscs_words+=${cscs_words:+|}$line ;;
		esac
	done
	# salloc would only check whether the nodes are ready, as srun does. With --no-shell, the
	# allocation does not depend on salloc. A salloc whose request was taken back has nothing to
	# report either.
	[[ -z $cscs_granted && $cscs_handover != taken ]] || kill -KILL "$cscs_salloc" 2>/dev/null
	wait "$cscs_salloc" 2>/dev/null
	cscs_code=$?
	exec {cscs_out}<&-
	cscs_salloc=''
	[[ -z $part ]] || cscs_words+=${cscs_words:+|}$part
	# Slurm can have taken a request without an answer to salloc.
	if [[ -n $cscs_quick && -z $cscs_granted$cscs_handover ]] && cscs_is_unsure && cscs_find_late; then
		cscs_job=${cscs_jobs[0]%% *} cscs_words=''
		cscs_begin_taking_back
	fi
	# The request was granted or cancelled in the meantime. Slurm knows which.
	if [[ $cscs_handover == taking ]]; then
		cscs_granted=''
		cscs_take_back_in_the_end
	fi
	[[ -z $cscs_granted || -z $cscs_words ]] || cscs_say note "message=$cscs_words"
	[[ -z $cscs_granted ]] || cscs_record_job salloc "$cscs_job"
	[[ -n $cscs_granted ]]
}

# cscs_begin_taking_back: begins the hand-over. From here until sbatch has the request, it is this
# shell's.
cscs_begin_taking_back() {
	printf '%s\n' "$cscs_job" >"$cscs_dir/salloc"
	cscs_handover=taking
	cscs_mark_asking $$
}

# cscs_take_back: takes the request back from the queue, unless it is granted in the same moment.
# Succeeds when Slurm has reported which: cscs_handover is "taken", or cscs_granted is set.
cscs_take_back() {
	local cscs_code=0 cscs_words
	# In Slurm 22.05, scancel checks the state and then cancels, so a job that is granted between
	# the two is cancelled too. In 24.11, with --ctld, slurmctld does both at once.
	cscs_words=$(cscs_exec_query scancel --ctld --state=PENDING "$cscs_job" 2>&1)
	cscs_ask_job
	case $cscs_info in
	*' JobState=PENDING '*)
		# A site can refuse --ctld (a federation, its own scancel).
		[[ -z $cscs_words ]] || scancel --state=PENDING "$cscs_job" 2>/dev/null
		return 1
		;;
	*' JobState=RUNNING '* | *' JobState=CONFIGURING '* | *' JobState=SUSPENDED '*)
		# A cancellation without an answer can still arrive.
		[[ -z $cscs_words ]] || ! cscs_is_unsure || return 1
		cscs_granted=1 cscs_handover=''
		;;
	*' JobState='*) cscs_handover=taken ;;
	*) # after a restart slurmctld can have forgotten the job, or it does not answer
		cscs_find_session_jobs && ((${#cscs_jobs[@]} == 0)) || return 1
		cscs_handover=taken
		;;
	esac
}

# cscs_take_back_in_the_end: retries that for the time that a restart of slurmctld can take.
cscs_take_back_in_the_end() {
	local n
	for ((n = 0; n < 60; n++)); do
		! cscs_take_back || return 0
		if cscs_has_client_left || cscs_is_silent; then
			cscs_record_job salloc "$cscs_job"
			cscs_withdraw
		fi
		cscs_nap 0.5
	done
	return 1
}

# cscs_process_began PID: sets REPLY to the start time of the process, in ticks since the host's
# boot; empty if there is no process. It distinguishes the process from a later one of the same
# number (proc(5), /proc/PID/stat).
cscs_process_began() {
	local stat=()
	REPLY=''
	! cscs_read_stat "$1" || REPLY=${stat[19]}
}

# cscs_is_starter_gone MILLISECONDS: succeeds if no process is left that starts the runner of a
# running job. The caller has waited this long for the runner. The shell that ran salloc starts it;
# a job of sbatch's has its script. A shell on another login node cannot be seen: it gives up within
# cscs_step_most seconds.
cscs_is_starter_gone() {
	local host pid began
	[[ ! -e $cscs_dir/batch ]] && { read -r host pid began <"$cscs_dir/starter"; } 2>/dev/null || return 1
	if [[ $host == "${HOSTNAME%%.*}" && $pid == +([0-9]) ]]; then
		# If only the shell was killed, its srun can still make the step.
		(($1 > cscs_step_wait * 1000 + 5000)) || return 1
		cscs_process_began "$pid"
		[[ $REPLY != "$began" ]] || return 1
	else
		(($1 > cscs_step_most * 1000 + 60000)) || return 1
	fi
	# A step can exist and report nothing for long. Slurm is asked at most once a minute (invariant
	# I9).
	cscs_uptime
	((REPLY >= cscs_step_asks)) || return 1
	((cscs_step_asks = REPLY + 60000))
	cscs_has_no_step
}

# cscs_has_no_step: succeeds if Slurm answers, and the job has no step but those of Slurm itself.
cscs_has_no_step() {
	local answer
	answer=$(cscs_exec_query scontrol --local --oneliner show step "$cscs_job" 2>&1)
	# A slurmctld that does not answer also reports no step.
	[[ $answer != *rror* || $answer == *'Invalid job id'* ]] && [[ $answer != *"StepId=$cscs_job."[0-9]* ]]
}

# cscs_ask_while_waiting: asks Slurm about the request while salloc waits, and refuses to detach.
cscs_ask_while_waiting() {
	cscs_ask_when_due
	[[ -n $cscs_detaching ]] || return 0
	cscs_detaching=''
	cscs_say note "message=the request waits with salloc on ${HOSTNAME%%.*} and ends with this session: it cannot be detached before it is granted"
}

# cscs_withdraw: takes the request back. A pending salloc cancels its job on SIGTERM. SIGKILL leaves
# the request in the queue with no process.
cscs_withdraw() {
	local line
	if [[ -n $cscs_salloc ]]; then
		kill -TERM "$cscs_salloc" 2>/dev/null
		while IFS= read -r -t 10 -u "$cscs_out" line; do :; done
		kill -KILL "$cscs_salloc" 2>/dev/null
		wait "$cscs_salloc" 2>/dev/null
	fi
	if [[ -e $cscs_dir/asking ]]; then cscs_cancel_late; else cscs_cancel_in_the_end; fi || exit
	cscs_remove_dir
	cscs_say withdrawn "job=$cscs_job"
	exit 0
}

# cscs_cancel_all: cancels every job of this session in Slurm, and confirms that none is left. A
# request can outlive its salloc: Slurm can have granted it in the moment in which it was taken
# back, or queued it without an answer.
cscs_cancel_all() {
	local nap job
	for nap in 0.2 0.4 0.8 1.5 3 0; do
		if cscs_find_session_jobs; then
			((${#cscs_jobs[@]})) || return 0
			for job in "${cscs_jobs[@]}"; do cscs_cancel "${job%% *}"; done
		fi
		cscs_nap "$nap"
	done
	return 1
}

# cscs_cancel_in_the_end: retries that for the time that a restart of slurmctld can take, since the
# client may be gone and no process asks later. Fails if slurmctld did not answer.
cscs_cancel_in_the_end() {
	local n
	for ((n = 0; n < 60; n++)); do
		cscs_cancel_all && return
	done
	return 1
}
