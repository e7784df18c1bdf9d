# What Slurm reports of a request that waits. The script asks after 1 s, to report a job that can
# never start, if it has not begun by then. It asks again when the scheduler has considered the job,
# and then once a minute (invariant I9).

# cscs_begin_waiting: records that a job begins to wait.
cscs_begin_waiting() {
	cscs_uptime
	cscs_waits=$REPLY cscs_ask_at=1000 cscs_state='' cscs_absent=0
}

# cscs_ask_when_due: asks Slurm when it is time.
cscs_ask_when_due() {
	local waited
	cscs_uptime
	((waited = REPLY - cscs_waits, waited >= cscs_ask_at)) || return 0
	((cscs_ask_at = waited < 10000 ? 10000 : waited + 60000))
	cscs_ask_queue
}

# cscs_find_by_number: succeeds if Slurm has the job with the known number, pending or running. Sets
# REPLY to its state, reason and estimated start, as squeue prints them. For a running job it keeps
# the answer, as cscs_ask_job does. It uses scontrol, which costs slurmctld one RPC: squeue costs
# two, because it also asks for the partitions (24.11).
cscs_find_by_number() {
	[[ -n $cscs_job ]] || return 1
	cscs_ask_job
	cscs_info_job=''
	[[ $cscs_info == *" JobName=$cscs_name "* && $cscs_info =~ ' JobState='(PENDING|RUNNING)' Reason='([^ ]*)' '.*' StartTime='([^ ]*)' ' ]] || return 1
	[[ ${BASH_REMATCH[1]} == PENDING ]] || cscs_info_job=$cscs_job
	REPLY="${BASH_REMATCH[1]}|${BASH_REMATCH[2]//_/ }|${BASH_REMATCH[3]/#Unknown/N/A}"
}

# cscs_ask_queue: reports state, reason and estimated start of the session's job. It finds the job
# by its name if necessary, because its number can be lost with the connection that made the
# request. cscs_state is the job's state; after two answers without it, "gone".
cscs_ask_queue() {
	local answer line found='' job
	if cscs_find_by_number; then
		found="$cscs_job|$REPLY"
	else
		cscs_find_user
		answer=$(cscs_exec_query squeue --local --noheader --user="$cscs_user" --name="$cscs_name" --format='%i|%T|%r|%S' 2>/dev/null) || return 0
		while IFS= read -r line; do
			[[ -n $line && $line != *'|COMPLETING|'* ]] || continue
			cscs_is_own "${line%%|*}" || continue
			[[ -n $found && ${line%%|*} != "$cscs_job" ]] || found=$line
		done < <(printf '%s\n' "$answer")
	fi
	if [[ -z $found ]]; then
		((++cscs_absent < 2)) || cscs_state=gone
		# The job has ended, or it has run for less time than the file system needs to show its
		# events.
		cscs_uptime
		((cscs_ask_at = REPLY - cscs_waits + 3000))
		return 0
	fi
	cscs_absent=0
	job=${found%%|*} answer=${found#*|} cscs_state=${answer%%|*}
	if [[ $job != "$cscs_job" ]]; then
		cscs_job=$job
		cscs_say pending "job=$cscs_job" kept=1
	fi
	# Ask once. If the account is the reason, the job may never start with it.
	if [[ -z ${cscs_mine+asked} && $answer == *'|'@(Assoc|*Account)* ]]; then
		cscs_accounts
		cscs_mine=$REPLY
	fi
	# The same if the partition or its nodes are the reason.
	if ((${#cscs_offer[@]} == 0)) && [[ $answer == *'|'@(PartitionTimeLimit|PartitionNodeLimit|PartitionConfig|BadConstraints|MaxMemPerLimit)* ]]; then
		cscs_partitions
	fi
	[[ $cscs_state == RUNNING ]] || cscs_say queue "job=$cscs_job" "answer=$answer" "accounts=${cscs_mine:-}" "${cscs_offer[@]}"
}
