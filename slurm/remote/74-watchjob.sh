# watchjob: reports a job until it has ended, for a tunnel into it. The login node asks Slurm once a
# minute (invariant I9), and again soon after the client reports that the job may have ended.

# cscs_watch_job: runs the verb watchjob. The client writes "look" when the server's port is closed,
# and "lost" when the connection to the node broke. A server can close and open its port all the
# time, so only one "look" a minute counts.
cscs_watch_job() {
	local info ends known='' pauses=() left line code due doubted='' completing=''
	cscs_find_slurm
	cscs_say hello "host=${HOSTNAME%%.*}"
	while :; do
		info=$(cscs_exec_query scontrol --local --oneliner show job "$cscs_job" 2>&1)
		# A missing answer proves nothing.
		if [[ $info == *@(' JobState='|'Invalid job id')* ]]; then
			if ! cscs_holds_nodes "$info"; then
				cscs_say job "job=$cscs_job" "info=$info"
				return
			fi
			ends=${info#*' EndTime='}
			ends=${ends%% *}
			if [[ $ends != "$known" ]]; then
				known=$ends
				cscs_say job "job=$cscs_job" "info=$info"
			fi
			# Slurm needs a moment to report how the job ended. A job can be COMPLETING for long.
			if [[ $info == *' JobState=COMPLETING '* && -z $completing ]]; then
				completing=1
				((${#pauses[@]})) || pauses=(1 2 4 8)
			fi
		fi
		cscs_uptime
		((due = REPLY + ${pauses[0]:-60} * 1000))
		pauses=("${pauses[@]:1}")
		while cscs_uptime && ((left = due - REPLY, left > 0)); do
			printf -v left '%d.%03d' $((left / 1000)) $((left % 1000))
			IFS= read -r -t "$left" -u 0 line
			code=$?
			((code == 0 || code > 128)) || return
			((code == 0)) || continue
			cscs_uptime
			if [[ $line == lost || -z $doubted ]] || ((REPLY - doubted >= 60000)); then
				doubted=$REPLY pauses=(1 2 4 8 16)
				break
			fi
		done
	done
}
