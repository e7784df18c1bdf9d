# Asking by salloc, which is a process on the login node for as long as its request waits, and
# which has the job until a runner is in it: if it dies, the job is nobody's. So by default
# sbatch asks (24-batch.sh).

# cscs_request: asks as cscs_via says. Returns when the allocation is granted
# (cscs_granted), or when the request waits in the queue by itself.
cscs_request() {
	local deadline=()
	cscs_unbatched=''
	if [[ $cscs_via != salloc ]]; then
		if cscs_enqueue; then
			cscs_in_queue "$REPLY"
			return
		fi
		[[ $cscs_via == auto && -z $cscs_unattended ]] || cscs_give_up sbatch "$cscs_code" "$cscs_words"
		# It is the request, which salloc will refuse too, or this site takes none of sbatch's.
		# Never a second request beside one that Slurm may still take.
		cscs_is_refusal || cscs_give_up sbatch "$cscs_code" "$cscs_words"
		cscs_unbatched=$cscs_words
	fi
	# A request of salloc's that everybody has forgotten leaves the queue by itself at its
	# deadline: by then it could not have been granted as was asked. Slurm (24.11) looks at
	# it while the job is pending only; a job that runs is left alone.
	[[ -z $cscs_deadline ]] || deadline=(--deadline="$cscs_deadline")
	cscs_ask "${deadline[@]}" || cscs_give_up salloc "$cscs_code" "$cscs_words"
}

# cscs_ask [OPTION]...: asks by salloc, with these options before the user's. True: the allocation is
# granted. Else cscs_code and cscs_words are how salloc ended.
cscs_ask() {
	local line part=''
	cscs_words='' cscs_job=''
	# In a session of its own: what ends this shell shall not end it unasked.
	cscs_mark_asking $$
	cscs_process_began $$
	printf '%s %s %s\n' "${HOSTNAME%%.*}" $$ "$REPLY" >"$cscs_dir/starter"
	exec {cscs_out}< <(
		cscs_unset_request_presets
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
			if cscs_client || cscs_is_silent; then cscs_withdraw; fi
			[[ -z $cscs_job ]] || cscs_wait_in_turn
			continue
		fi
		line=$part$line part=''
		case $line in
		*'Pending job allocation '*)
			cscs_job=${line##* }
			cscs_record_job salloc "$cscs_job"
			[[ -z $cscs_unbatched ]] ||
				cscs_say note "message=sbatch does not take what salloc takes (${cscs_unbatched//|/; }): the request waits with salloc, on ${HOSTNAME%%.*}"
			cscs_say pending "job=$cscs_job"
			cscs_begin_turn
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
	if [[ -n $cscs_granted ]]; then
		[[ -z $cscs_words ]] || cscs_say note "message=$cscs_words"
		# salloc would only go on to ask whether the nodes are ready; srun asks too. With
		# --no-shell the allocation does not depend on it.
		kill -KILL "$cscs_salloc" 2>/dev/null
	fi
	wait "$cscs_salloc" 2>/dev/null
	cscs_code=$?
	exec {cscs_out}<&-
	cscs_salloc=''
	[[ -z $part ]] || cscs_words+=${cscs_words:+|}$part
	[[ -z $cscs_granted ]] || cscs_record_job salloc "$cscs_job"
	[[ -n $cscs_granted ]]
}

# cscs_process_began PID: REPLY is when the process began, in ticks since the host's boot; empty: there
# is none. With it, a process is not taken for a later one of the same number (proc(5), /proc/PID/stat).
cscs_process_began() {
	local stat=()
	REPLY=''
	! cscs_read_stat "$1" || REPLY=${stat[19]}
}

# cscs_is_starter_gone MILLISECONDS: for a job that runs, and whose runner has been waited for so long:
# succeeds if no process is left that starts it. The shell that asked by salloc does so; the script of
# a job of sbatch's needs none. A shell on another login node cannot be seen: it gives up within
# cscs_step_most seconds.
cscs_is_starter_gone() {
	local host pid began
	[[ ! -e $cscs_dir/batch ]] && { read -r host pid began <"$cscs_dir/starter"; } 2>/dev/null || return 1
	if [[ $host == "${HOSTNAME%%.*}" && $pid == +([0-9]) ]]; then
		# Its srun may still make the step if the shell alone was killed.
		(($1 > cscs_step_wait * 1000 + 5000)) || return 1
		cscs_process_began "$pid"
		[[ $REPLY != "$began" ]] || return 1
	else
		(($1 > cscs_step_most * 1000 + 60000)) || return 1
	fi
	# A step may be there and say nothing for long: Slurm is asked once a minute (invariant I9).
	cscs_uptime
	((REPLY >= cscs_step_asks)) || return 1
	((cscs_step_asks = REPLY + 60000))
	[[ $(scontrol --local --oneliner show step "$cscs_job" 2>&1) != *"StepId=$cscs_job."[0-9]* ]]
}

# cscs_wait_in_turn: while salloc waits.
cscs_wait_in_turn() {
	cscs_ask_in_turn
	[[ -n $cscs_detaching ]] || return 0
	cscs_detaching=''
	cscs_say note "message=the request waits with salloc on ${HOSTNAME%%.*} and ends with this session: it cannot be left alone before it is granted"
}

# cscs_withdraw: takes the request back. On SIGTERM a pending salloc has Slurm forget the job;
# SIGKILL leaves it in the queue, without an owner.
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

# cscs_cancel_all: cancels what Slurm has of this session, and sees that it is gone. A
# request can outlive the salloc that made it: granted in the moment in which it was
# taken back, or queued by a controller whose answer was lost.
cscs_cancel_all() {
	local nap job
	for nap in 0.2 0.4 0.8 1.5 3 0; do
		if cscs_queue; then
			((${#cscs_jobs[@]})) || return 0
			for job in "${cscs_jobs[@]}"; do cscs_cancel "${job%% *}"; done
		fi
		cscs_nap "$nap"
	done
	return 1
}

# cscs_cancel_in_the_end: the same for a client that may be gone, since no process asks later
# then: for as long as a restart of slurmctld may take. Fails if it did not answer.
cscs_cancel_in_the_end() {
	local n
	for ((n = 0; n < 60; n++)); do
		cscs_cancel_all && return
	done
	return 1
}
