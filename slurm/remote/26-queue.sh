# What Slurm says of a request that waits: asked when it has been made, so that a job that can
# never start is told at once, if it has not begun by then; when the scheduler has had a look;
# then once a minute (invariant I9).

# cscs_begin_turn: a job has begun to wait.
cscs_begin_turn() {
	cscs_uptime
	cscs_waits=$REPLY cscs_ask_at=1000 cscs_state='' cscs_absent=0
}

# cscs_ask_in_turn: asks when it is time.
cscs_ask_in_turn() {
	local waited
	cscs_uptime
	((waited = REPLY - cscs_waits, waited >= cscs_ask_at)) || return 0
	((cscs_ask_at = waited < 10000 ? 10000 : waited + 60000))
	cscs_ask_queue
}

# cscs_known: does Slurm know the job whose number is known as one that waits or runs? REPLY is
# its state, reason and estimated start, as squeue prints them, and of one that runs cscs_learn has
# what there is. squeue costs slurmctld two RPCs, since it wants the partitions too (24.11), and
# scontrol one.
cscs_known() {
	[[ -n $cscs_job ]] || return 1
	cscs_learn
	cscs_learnt=''
	[[ $cscs_info == *" JobName=$cscs_name "* && $cscs_info =~ ' JobState='(PENDING|RUNNING)' Reason='([^ ]*)' '.*' StartTime='([^ ]*)' ' ]] || return 1
	[[ ${BASH_REMATCH[1]} == PENDING ]] || cscs_learnt=$cscs_job
	REPLY="${BASH_REMATCH[1]}|${BASH_REMATCH[2]//_/ }|${BASH_REMATCH[3]/#Unknown/N/A}"
}

# cscs_ask_queue: state, reason and estimated start of the session's job. By its name, if
# need be: its number may have been lost with the connection that made the request.
# cscs_state is its state; after two answers without it, "gone".
cscs_ask_queue() {
	local answer line found='' job
	if cscs_known; then
		found="$cscs_job|$REPLY"
	else
		cscs_me
		answer=$(cscs_exec_query squeue --local --noheader --user="$cscs_user" --name="$cscs_name" --format='%i|%T|%r|%S' 2>/dev/null) || return 0
		while IFS= read -r line; do
			[[ -n $line && $line != *'|COMPLETING|'* ]] || continue
			cscs_is_own "${line%%|*}" || continue
			[[ -n $found && ${line%%|*} != "$cscs_job" ]] || found=$line
		done < <(printf '%s\n' "$answer")
	fi
	if [[ -z $found ]]; then
		((++cscs_absent < 2)) || cscs_state=gone
		# It has ended, or runs no longer than a file system needs to show what it has said.
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
	# Asked once; where it is the account, the job may never start with this one.
	if [[ -z ${cscs_mine+asked} && $answer == *'|'@(Assoc|*Account)* ]]; then
		cscs_accounts
		cscs_mine=$REPLY
	fi
	# Likewise, where it is what the partition or its nodes have.
	if ((${#cscs_offer[@]} == 0)) && [[ $answer == *'|'@(PartitionTimeLimit|PartitionNodeLimit|PartitionConfig|BadConstraints|MaxMemPerLimit)* ]]; then
		cscs_partitions
	fi
	[[ $cscs_state == RUNNING ]] || cscs_say queue "job=$cscs_job" "answer=$answer" "accounts=${cscs_mine:-}" "${cscs_offer[@]}"
}
