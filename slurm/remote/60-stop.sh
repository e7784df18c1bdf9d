# stop: ends the job and sees that it is gone. By the job's name: a number may never have reached the
# client. A job of that name which is known not to be the session's is left alone.

# cscs_queue: cscs_jobs is "id state" of each job of this session that Slurm
# still has to do something for, and cscs_unproven the numbers of those that have its name and may be the
# session's. False if Slurm does not answer.
cscs_queue() {
	local answer line listed=() job absent=' ' REPLY
	cscs_me
	answer=$(cscs_exec_query squeue --local --noheader --user="$cscs_user" --name="$cscs_name" --format='%i %T' 2>&1) || {
		cscs_said=$answer
		return 1
	}
	cscs_jobs=() cscs_unproven=()
	while IFS= read -r line; do
		# Nothing of a completing job runs for longer than its processes take to die.
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

# cscs_ask_controller: some sites' squeue answers from a list that is seconds old. So slurmctld itself is
# asked of a known job that squeue has not shown to this shell yet, which is added to cscs_jobs, and of a job
# that it still shows after it was cancelled, which is added to absent if it has ended. Fails if slurmctld
# does not answer. Uses the caller's listed and absent.
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

# cscs_find_state JOB: REPLY is the state of the session's job; empty: it has ended, or is another's. Fails if
# slurmctld does not answer.
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
# the user has given that name (invariant I11): its number is recorded, or none is yet.
# Else REPLY is set if the job may be the session's all the same: the number is not known, and the
# session's directory, where it may be recorded, is not there on this login node.
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

# cscs_has_output JOB: succeeds if the job writes into the session's directory, as a job of sbatch's does
# (cscs_enqueue). Else REPLY is set if it has no output file, as a job of salloc's, or Slurm does not say.
cscs_has_output() {
	local info file
	info="$(cscs_exec_query scontrol --local --oneliner show job "$1" 2>/dev/null) "
	# Slurm shows the name as it was given, or with its patterns filled in (sbatch(1), filename pattern).
	file=${cscs_dir//\\/\\\\}
	[[ $info != *" StdOut=$cscs_dir/batch.log "* && $info != *" StdOut=${file//%/%%}/batch.log "* ]] || return 0
	[[ $info == *' StdOut='/* ]] || REPLY=$1
	return 1
}

# cscs_is_job_of DIRECTORY JOB: succeeds if the session's directory records the number of the job, or
# none.
cscs_is_job_of() {
	local REPLY
	cscs_read_recorded_jobs "$1"
	[[ -z $REPLY || "$REPLY " == *" $2 "* ]]
}

# cscs_read_recorded_jobs DIRECTORY: REPLY is the jobs whose numbers the session's directory records, each
# after a space.
cscs_read_recorded_jobs() {
	local f number recorded
	cscs_read_alive_jobs "$1"
	recorded=$REPLY
	for f in batch salloc runner; do
		{ IFS= read -r number <"$1/$f"; } 2>/dev/null && recorded+=" $number"
	done
	REPLY=$recorded
}

# cscs_read_alive_jobs DIRECTORY: REPLY is the jobs in which a runner of the session has reported
# itself, in that order, each after a space.
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
	cscs_have_slurm
	cscs_find_dir
	cscs_say hello "host=${HOSTNAME%%.*}" "dir=$cscs_dir"
	[[ $cscs_step != any ]] || cscs_find_step
	if ((cscs_grace > 0)) && [[ -n $cscs_step && -s $cscs_dir/events ]] && ! cscs_exited; then
		# To the whole job: one request, where a step's costs four. It is the end for
		# all of it anyway.
		# Slurm hands a signal to every process of a step. SIGURG means something to the
		# runner alone: what does not ask for it ignores it (signal(7)).
		cscs_cancel "${cscs_step%.*}" --signal=URG
		cscs_wait_exited
	fi
	for nap in 0.1 0.2 0.4 0.8 1.5 3 5 10; do
		if cscs_queue; then
			if ((${#cscs_jobs[@]} == 0)) && ! cscs_comes_again && { [[ -n $seen ]] || { ((${#cscs_unproven[@]} == 0)) && cscs_is_settled; }; }; then
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

# cscs_comes_again: succeeds if a process that has taken the request back from salloc is about to give it to
# sbatch. One of another login node cannot be seen from here.
cscs_comes_again() {
	local host pid again=''
	{ read -r host pid again <"$cscs_dir/asking"; } 2>/dev/null
	[[ $again == again && ($host != "${HOSTNAME%%.*}" || -e /proc/$pid) ]]
}

# cscs_is_settled: for a session that Slurm has no job of: succeeds if Slurm will take none
# either, because no request is on its way (cscs_mark_asking). A process of another login node
# cannot be seen from here.
cscs_is_settled() {
	local host='' pid='' _
	[[ -d $HOME ]] || return 1
	[[ -e $cscs_dir/asking ]] || return 0
	{ read -r host pid _ <"$cscs_dir/asking"; } 2>/dev/null
	[[ $host == "${HOSTNAME%%.*}" && $pid == +([0-9]) && ! -e /proc/$pid ]] && ! cscs_find_late
}

# cscs_explain_unsettled: cscs_said is why it is not known whether Slurm has a job of the session.
cscs_explain_unsettled() {
	if ((${#cscs_unproven[@]})); then
		cscs_said="a job has the session's name, but $cscs_dir, which records the session's job, is not there on ${HOSTNAME%%.*}"
	elif [[ ! -d $HOME ]]; then
		cscs_said=${cscs_said:-"the home directory $HOME is not there on ${HOSTNAME%%.*}, so a request may be on its way to Slurm"}
	else
		cscs_said=${cscs_said:-"a request has had no answer from Slurm yet"}
	fi
}

# cscs_find_step: cscs_step is the runner's, as it said itself; empty if it did not.
cscs_find_step() {
	cscs_read_alive_jobs "$cscs_dir"
	cscs_step=${REPLY:+${REPLY##* }.}
}

# cscs_exited: has the runner said so? REPLY is its line.
cscs_exited() {
	while IFS= read -r REPLY; do
		[[ $REPLY == exited* ]] && return 0
	done <"$cscs_dir/events"
	return 1
}

# cscs_wait_exited: until the runner has said so, its grace and a little more.
cscs_wait_exited() {
	local waited=0
	while ((waited < cscs_grace * 1000 + 2000)); do
		if cscs_exited; then
			printf '%s\n' "$REPLY"
			return
		fi
		cscs_nap 0.05
		((waited += 50))
	done
}

# cscs_keep_remains DIRECTORY: removes all files of a session that has ended but those that tell how. The log
# is for the next client; list removes it at last.
cscs_keep_remains() {
	local f
	for f in "$1"/* "$1"/.[!.]*; do
		[[ $f == */@(log|log.1|events|lease|session.json|mark) ]] || rm -rf "$f"
	done
}

# cscs_hand_over_log: the server's log goes to the client, and when it says that
# it has it, the directory goes. Secrets go in any case.
cscs_hand_over_log() {
	local f files=() size=0 line all=$cscs_dir/log.$cscs_nonce fd=''
	cscs_is_ours "$cscs_dir" || {
		cscs_say log bytes=0
		return
	}
	for f in "$cscs_dir/log.1" "$cscs_dir/log"; do
		[[ -s $f ]] && files+=("$f")
	done
	# One snapshot: a straggler may still write; and opened: another client that attends the
	# session may be at the same, and remove it all. Where there is no room for one, what is there
	# now must do.
	if ((${#files[@]})) && cat "${files[@]}" 2>/dev/null | head -c 67108864 2>/dev/null >"$all" &&
		{ exec {fd}<"$all"; } 2>/dev/null; then
		size=$(stat -L -c %s "/dev/fd/$fd")
		cscs_say log "bytes=$((size))"
		cat <&"$fd"
	else
		rm -f "$all"
		((${#files[@]} == 0)) || size=$(cat "${files[@]}" 2>/dev/null | head -c 67108864 | wc -c)
		cscs_say log "bytes=$((size))"
		# As many as was said, whatever becomes of the files meanwhile.
		((size == 0)) || cat "${files[@]}" /dev/zero 2>/dev/null | head -c "$size"
	fi
	IFS= read -r -t 60 -u 0 line
	# NFS keeps a file that is open under another name, and with it the directory.
	[[ -z $fd ]] || exec {fd}<&-
	if [[ $line == ok ]]; then cscs_remove_dir; else cscs_keep_remains "$cscs_dir"; fi
	cscs_say removed
}
