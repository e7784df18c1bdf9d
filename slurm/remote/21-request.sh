# The request for the allocation: by salloc (22-salloc.sh), by sbatch (24-batch.sh), or by both in
# turn, as cscs_via states.

# cscs_request_job: requests the job as cscs_via states. Returns when the allocation is granted
# (cscs_granted), or when the request waits in the queue by itself.
cscs_request_job() {
	local deadline=() refused=''
	cscs_unbatched='' cscs_handover='' cscs_lost=''
	cscs_uptime
	cscs_asked=$REPLY
	if [[ $cscs_via == auto && -z $cscs_unattended ]]; then
		cscs_quick=1
		until cscs_request_salloc; do
			if [[ $cscs_handover == taken ]] || ! cscs_may_request_again; then break; fi
		done
		[[ -z $cscs_granted ]] || return 0
		cscs_quick=''
		if [[ $cscs_handover != taken ]]; then
			# Either sbatch will refuse the request too, or this site takes no request of salloc's.
			# There must never be a second request beside one that Slurm can still take.
			cscs_is_refusal || ((cscs_code == 126 || cscs_code == 127)) || cscs_give_up salloc "$cscs_code" "$cscs_words"
			refused=$cscs_words
		fi
	fi
	if [[ $cscs_via != salloc ]]; then
		if cscs_put_in_queue; then
			[[ -z $refused ]] || cscs_say note "message=salloc refuses what sbatch accepts (${refused//|/; })"
			return
		fi
		if [[ -z $cscs_handover ]] || ! cscs_is_refusal; then
			cscs_give_up sbatch "$cscs_code" "${refused:+$refused|}$cscs_words"
		fi
		cscs_unbatched=$cscs_words cscs_handover=''
	fi
	# A request of salloc's that every process has forgotten leaves the queue at its deadline. By
	# then it could not be granted as requested. Slurm (24.11) checks the deadline of pending jobs
	# only, and leaves a running job alone.
	[[ -z $cscs_deadline ]] || deadline=(--deadline="$cscs_deadline")
	until cscs_request_salloc "${deadline[@]}"; do
		cscs_may_request_again || cscs_give_up salloc "$cscs_code" "$cscs_words"
	done
}

# cscs_may_request_again: waits a moment and succeeds if the request is to be made again: because it
# never reached a slurmctld that is down, or was lost with it. A lost one is made again once.
# Slurm's commands retry for some seconds by themselves; a restart takes longer.
cscs_may_request_again() {
	if ! cscs_is_unsent; then
		[[ $cscs_via != salloc && -z $cscs_lost ]] && cscs_is_lost || return 1
		cscs_lost=1
	fi
	cscs_uptime
	((REPLY - cscs_asked < cscs_silence_most * 1000)) || return 1
	# Slurm has no request of the session.
	rm -f "$cscs_dir/asking"
	cscs_asking=''
	cscs_nap 1
	if cscs_has_client_left || cscs_is_silent; then
		cscs_remove_dir
		cscs_say withdrawn job=
		exit 0
	fi
}

# Seconds for which the script waits for a slurmctld that is down.
cscs_silence_most=${cscs_silence_most:-300}
