# watchjob: tells of a job until it has ended, for a tunnel into it. Slurm is asked here, on the login
# node, once a minute (invariant I9), and again soon after the client says that the job may have ended.

cscs_watch_job() {
	local info ends known='' nap pauses=() code
	cscs_have_slurm
	cscs_say hello "host=${HOSTNAME%%.*}"
	while :; do
		info=$(scontrol --local --oneliner show job "$cscs_job" 2>&1)
		# No answer says nothing.
		if [[ $info == *@(' JobState='|'Invalid job id')* ]]; then
			if [[ $info != *' JobState='@(CONFIGURING|RUNNING|SUSPENDED|COMPLETING|STOPPED|SIGNALING|STAGE_OUT|RESIZING)' '* ]]; then
				cscs_say job "job=$cscs_job" "info=$info"
				return
			fi
			ends=${info#*' EndTime='}
			ends=${ends%% *}
			if [[ $ends != "$known" ]]; then
				known=$ends
				cscs_say job "job=$cscs_job" "info=$info"
			fi
			# Slurm needs a moment to say how it ended.
			[[ $info != *' JobState=COMPLETING '* || ${#pauses[@]} -gt 0 ]] || pauses=(1 2 4 8)
		fi
		nap=${pauses[0]:-60}
		pauses=("${pauses[@]:1}")
		IFS= read -r -t "$nap" -u 0 _
		code=$?
		((code == 0 || code > 128)) || return
		((code != 0)) || pauses=(1 2 4 8 16)
	done
}
