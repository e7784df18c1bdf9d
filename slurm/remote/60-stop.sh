# stop: ends the job and confirms that it is gone. It finds the job by name, because its number may
# never have reached the client. It leaves a job of that name alone if that is known not to be the
# session's.

# cscs_find_session_jobs: sets cscs_jobs to "id state" of each job of this session that Slurm still
# has to end. Sets cscs_unproven to the numbers of jobs that have its name and can be the session's.
# Fails if Slurm does not answer.
cscs_find_session_jobs() {
	local answer line listed=() job absent=' ' REPLY
	cscs_find_user
	answer=$(cscs_exec_query squeue --local --noheader --user="$cscs_user" --name="$cscs_name" --format='%i %T' 2>&1) || {
		cscs_said=$answer
		return 1
	}
	cscs_jobs=() cscs_unproven=()
	while IFS= read -r line; do
		# The processes of a completing job only have to die.
		if [[ $line == *' COMPLETING' ]]; then
			cscs_shown_jobs+=" ${line%% *} "
		elif cscs_is_job "${line%% *}"; then
			if cscs_is_own "${line%% *}"; then
				listed+=("$line")
			elif [[ -n $REPLY ]]; then
				cscs_unproven+=("${line%% *}")
			fi
		fi
	done < <(printf '%s\n' "$answer")
	cscs_ask_controller || return
	for job in "${listed[@]}"; do
		[[ $absent == *" ${job%% *} "* ]] || cscs_jobs+=("$job")
	done
}

# cscs_ask_controller: some sites' squeue answers from a list that is seconds old, so it asks
# slurmctld itself. It adds a known job that squeue has not shown to this shell yet to cscs_jobs. It
# adds a job that squeue still shows after its cancellation, and that has ended, to absent. Fails if
# slurmctld does not answer. Uses the caller's listed and absent.
cscs_ask_controller() {
	local job known=" ${listed[*]%% *} " asked='' REPLY
	cscs_shown_jobs+=$known
	for job in "${listed[@]%% *}"; do
		[[ $cscs_cancelled_jobs == *" $job "* ]] || continue
		cscs_find_state "$job" || return
		[[ -n $REPLY ]] || absent+="$job "
	done
	REPLY=''
	! cscs_is_ours "$cscs_dir" || cscs_read_recorded_jobs "$cscs_dir"
	for job in $cscs_job $REPLY; do
		if cscs_is_job "$job" && [[ $cscs_shown_jobs$asked != *" $job "* ]]; then
			asked+=" $job "
			cscs_find_state "$job" || return
			[[ -z $REPLY ]] || cscs_jobs+=("$job $REPLY")
		fi
	done
}

# cscs_find_state JOB: sets REPLY to the state of the session's job; empty if the job has ended or
# is not the session's. Fails if slurmctld does not answer.
cscs_find_state() {
	local info
	REPLY=''
	info=$(cscs_exec_query scontrol --local --oneliner show job "$1" 2>&1) || {
		cscs_said=$info
		[[ $info == *'Invalid job id'* ]]
		return
	}
	[[ " $info " == *" JobName=$cscs_name "* && " $info" =~ ' JobState='([A-Z_]+) ]] || return 0
	case ${BASH_REMATCH[1]} in
	BOOT_FAIL | CANCELLED | COMPLETED | COMPLETING | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | PREEMPTED | REVOKED | TIMEOUT) ;;
	*) REPLY=${BASH_REMATCH[1]} ;;
	esac
}

# cscs_is_own JOB: succeeds if a job with the session's name is the session's own, and not one that
# the user gave that name (invariant I11): its number is recorded, or none is recorded yet.
# Otherwise REPLY is set if the job can still be the session's: the number is unknown, and the
# session's directory, which can record it, does not exist on this login node.
cscs_is_own() {
	REPLY=''
	[[ $1 != "$cscs_job" ]] || return 0
	if cscs_is_ours "$cscs_dir"; then
		cscs_is_job_of "$cscs_dir" "$1"
		return
	fi
	[[ -z $cscs_asking ]] || return 0
	[[ -z $cscs_job ]] || return 1
	cscs_has_output "$1"
}

# cscs_has_output JOB: succeeds if the job writes into the session's directory, as a job of sbatch's
# does (cscs_request_sbatch). Otherwise REPLY is set if the job has no output file, as a job of
# salloc's, or if Slurm does not report it.
cscs_has_output() {
	local info file
	info="$(cscs_exec_query scontrol --local --oneliner show job "$1" 2>/dev/null) "
	# Slurm shows the file name as given, or with its patterns replaced (sbatch(1), filename
	# pattern).
	file=${cscs_dir//\\/\\\\}
	[[ $info != *" StdOut=$cscs_dir/batch.log "* && $info != *" StdOut=${file//%/%%}/batch.log "* ]] || return 0
	[[ $info == *' StdOut='/* ]] || REPLY=$1
	return 1
}

# cscs_is_job_of DIRECTORY JOB: succeeds if the session's directory records the number of the job,
# or none.
cscs_is_job_of() {
	local REPLY
	cscs_read_recorded_jobs "$1"
	[[ -z $REPLY || "$REPLY " == *" $2 "* ]]
}

# cscs_read_recorded_jobs DIRECTORY: sets REPLY to the job numbers that the session's directory
# records, each after a space.
cscs_read_recorded_jobs() {
	local f number recorded
	cscs_read_alive_jobs "$1"
	recorded=$REPLY
	for f in batch salloc runner; do
		{ IFS= read -r number <"$1/$f"; } 2>/dev/null && recorded+=" $number"
	done
	REPLY=$recorded
}

# cscs_read_alive_jobs DIRECTORY: sets REPLY to the jobs in which a runner of the session has
# reported itself, in that order, each after a space.
cscs_read_alive_jobs() {
	local line
	REPLY=''
	while IFS= read -r line; do
		[[ $line == alive"$cscs_tab"*job=* ]] || continue
		line=${line#*job=}
		REPLY+=" ${line%%"$cscs_tab"*}"
	done 2>/dev/null <"$1/events"
}

cscs_stop_session() {
	local job nap asked='' seen=''
	cscs_find_slurm
	cscs_find_dir
	cscs_say hello "host=${HOSTNAME%%.*}" "dir=$cscs_dir"
	[[ $cscs_step != any ]] || cscs_find_step
	if ((cscs_grace > 0)) && [[ -n $cscs_step && -s $cscs_dir/events ]] && ! cscs_has_exited; then
		# Signal the whole job, in one request; a signal to a step costs four. All of the job ends
		# anyway. Slurm sends a signal to every process of a step. SIGURG has an effect on the
		# runner only: a process that does not ask for it ignores it (signal(7)).
		cscs_cancel "${cscs_step%.*}" --signal=URG
		cscs_wait_for_exit
	fi
	for nap in 0.1 0.2 0.4 0.8 1.5 3 5 10; do
		if cscs_find_session_jobs; then
			if ((${#cscs_jobs[@]} == 0)) && ! cscs_is_handed_over && { [[ -n $seen ]] || { ((${#cscs_unproven[@]} == 0)) && cscs_is_settled; }; }; then
				asked=gone
				break
			fi
			for job in "${cscs_jobs[@]}"; do
				seen=1
				cscs_cancel "${job%% *}" ${cscs_kill:+--signal=KILL}
			done
		fi
		cscs_nap "$nap"
	done
	if [[ $asked != gone ]]; then
		[[ -n $seen ]] || cscs_explain_unsettled
		job=${cscs_jobs[0]:-${cscs_unproven[0]:-}}
		cscs_say remains "job=${job%% *}" "message=${cscs_said:-}"
		return
	fi
	cscs_say stopped
	cscs_hand_over_log
}

# cscs_is_handed_over: succeeds if a process that has taken the request back from salloc will give
# it to sbatch. A process of another login node cannot be seen from here.
cscs_is_handed_over() {
	local host pid again=''
	{ read -r host pid again <"$cscs_dir/asking"; } 2>/dev/null
	[[ $again == again && ($host != "${HOSTNAME%%.*}" || -e /proc/$pid) ]]
}

# cscs_is_settled: for a session of which Slurm has no job: succeeds if Slurm will not take one
# either, because no request is on its way (cscs_mark_asking). A process of another login node
# cannot be seen from here.
cscs_is_settled() {
	local host='' pid='' _
	[[ -d $HOME ]] || return 1
	[[ -e $cscs_dir/asking ]] || return 0
	{ read -r host pid _ <"$cscs_dir/asking"; } 2>/dev/null
	[[ $host == "${HOSTNAME%%.*}" && $pid == +([0-9]) && ! -e /proc/$pid ]] && ! cscs_find_late
}

# cscs_explain_unsettled: sets cscs_said to the reason for which it is unknown whether Slurm has a
# job of the session.
cscs_explain_unsettled() {
	if ((${#cscs_unproven[@]})); then
		cscs_said="a job has the session's name, but $cscs_dir, which records the session's job, is not there on ${HOSTNAME%%.*}"
	elif [[ ! -d $HOME ]]; then
		cscs_said=${cscs_said:-"the home directory $HOME does not exist on ${HOSTNAME%%.*}, so a request may be on its way to Slurm"}
	else
		cscs_said=${cscs_said:-"a request has had no answer from Slurm yet"}
	fi
}

# cscs_find_step: sets cscs_step to the runner's step, from its own report; empty if there is none.
cscs_find_step() {
	cscs_read_alive_jobs "$cscs_dir"
	cscs_step=${REPLY:+${REPLY##* }.}
}

# cscs_has_exited: succeeds if the runner has reported its end. REPLY is that line.
cscs_has_exited() {
	while IFS= read -r REPLY; do
		[[ $REPLY == exited* ]] && return 0
	done <"$cscs_dir/events"
	return 1
}

# cscs_wait_for_exit: waits for that report, for the grace and 2 s, and prints it.
cscs_wait_for_exit() {
	local waited=0
	while ((waited < cscs_grace * 1000 + 2000)); do
		if cscs_has_exited; then
			printf '%s\n' "$REPLY"
			return
		fi
		cscs_nap 0.05
		((waited += 50))
	done
}

# cscs_keep_remains DIRECTORY: removes all files of an ended session except those that tell how it
# ended, and the log. The next client can fetch the log; list removes it later.
cscs_keep_remains() {
	local f
	for f in "$1"/* "$1"/.[!.]*; do
		[[ $f == */@(log|log.1|events|lease|session.json|mark) ]] || rm -rf "$f"
	done
}

# cscs_hand_over_log: sends the server's log to the client, and removes the directory when the
# client confirms it. Secrets are removed in any case.
cscs_hand_over_log() {
	local f files=() size=0 line all=$cscs_dir/log.$cscs_nonce fd=''
	cscs_is_ours "$cscs_dir" || {
		cscs_say log bytes=0
		return
	}
	for f in "$cscs_dir/log.1" "$cscs_dir/log"; do
		[[ -s $f ]] && files+=("$f")
	done
	# Send a snapshot, because a remaining process can still write. Open it first, because another
	# client that attends the session can remove everything at the same time. Without space for a
	# snapshot, send the files as they are.
	if ((${#files[@]})) && cat "${files[@]}" 2>/dev/null | head -c 67108864 2>/dev/null >"$all" &&
		{ exec {fd}<"$all"; } 2>/dev/null; then
		size=$(stat -L -c %s "/dev/fd/$fd")
		cscs_say log "bytes=$((size))"
		cat <&"$fd"
	else
		rm -f "$all"
		((${#files[@]} == 0)) || size=$(cat "${files[@]}" 2>/dev/null | head -c 67108864 | wc -c)
		cscs_say log "bytes=$((size))"
		# Send exactly the announced number of bytes, even if the files change meanwhile.
		((size == 0)) || cat "${files[@]}" /dev/zero 2>/dev/null | head -c "$size"
	fi
	IFS= read -r -t 60 -u 0 line
	# NFS keeps an open file under another name, and with it the directory.
	[[ -z $fd ]] || exec {fd}<&-
	if [[ $line == ok ]]; then cscs_remove_dir; else cscs_keep_remains "$cscs_dir"; fi
	cscs_say removed
}
