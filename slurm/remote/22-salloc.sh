# Asking by salloc, which Slurm tries the moment it arrives. A request that waits is a process on the
# login node, so it is handed to sbatch at once (24-batch.sh); and the job is without an owner from the
# grant until a runner is in it.

# cscs_request: asks as cscs_via says. Returns when the allocation is granted
# (cscs_granted), or when the request waits in the queue by itself.
cscs_request() {
	local deadline=() refused='' job=''
	cscs_unbatched='' cscs_handover='' cscs_lost=''
	cscs_uptime
	cscs_asked=$REPLY
	if [[ $cscs_via == auto && -z $cscs_unattended ]]; then
		cscs_quick=1
		until cscs_ask; do
			if [[ $cscs_handover == taken ]] || ! cscs_asks_again; then break; fi
		done
		[[ -z $cscs_granted ]] || return 0
		cscs_quick=''
		if [[ $cscs_handover != taken ]]; then
			# It is the request, which sbatch will refuse too, or this site takes none of salloc's.
			# Never a second request beside one that Slurm may still take.
			cscs_is_refusal || ((cscs_code == 126 || cscs_code == 127)) || cscs_give_up salloc "$cscs_code" "$cscs_words"
			refused=$cscs_words
		fi
	fi
	if [[ $cscs_via != salloc ]]; then
		# A stop from elsewhere has removed the directory.
		cscs_is_ours "$cscs_dir" || cscs_withdraw
		rm -f "$cscs_dir/salloc" # that request is gone, and the next one has no number yet
		until cscs_enqueue && job=$REPLY; do
			cscs_asks_again || break
		done
		if [[ -n $job ]]; then
			cscs_in_queue "$job"
			[[ -z $refused ]] || cscs_say note "message=salloc does not take what sbatch takes (${refused//|/; })"
			return
		fi
		if [[ -z $cscs_handover ]] || ! cscs_is_refusal; then
			cscs_give_up sbatch "$cscs_code" "${refused:+$refused|}$cscs_words"
		fi
		cscs_unbatched=$cscs_words cscs_handover=''
	fi
	# A request of salloc's that every process has forgotten leaves the queue by itself at its
	# deadline: by then it could not have been granted as was asked. Slurm (24.11) looks at
	# it while the job is pending only; a job that runs is left alone.
	[[ -z $cscs_deadline ]] || deadline=(--deadline="$cscs_deadline")
	until cscs_ask "${deadline[@]}"; do
		cscs_asks_again || cscs_give_up salloc "$cscs_code" "$cscs_words"
	done
}

# cscs_asks_again: after a request that never reached slurmctld, which is down, or was lost with it: waits a moment, and
# succeeds if it is to be asked again: once, if it was lost. Slurm's commands try for some seconds by themselves; a
# restart takes longer.
cscs_asks_again() {
	if ! cscs_is_unsent; then
		[[ $cscs_via != salloc && -z $cscs_lost ]] && cscs_is_lost || return 1
		cscs_lost=1
	fi
	cscs_uptime
	((REPLY - cscs_asked < cscs_silence_most * 1000)) || return 1
	# Slurm has nothing of the session.
	rm -f "$cscs_dir/asking"
	cscs_asking=''
	cscs_nap 1
	if cscs_client || cscs_is_silent; then
		cscs_remove_dir
		cscs_say withdrawn job=
		exit 0
	fi
}

# For how many seconds a slurmctld that is down is waited for.
cscs_silence_most=${cscs_silence_most:-300}

# cscs_ask [OPTION]...: asks by salloc, with these options before the user's. True: the allocation is
# granted. Else cscs_code and cscs_words are how salloc ended; or, if cscs_quick was set, cscs_handover is
# "taken": the request would have waited, and Slurm has nothing of it any more.
cscs_ask() {
	local line part=''
	cscs_words='' cscs_job=''
	# In a session of its own: what ends this shell shall not end it unasked.
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
			if cscs_client || cscs_is_silent; then
				[[ -z $cscs_handover ]] || cscs_record_job salloc "$cscs_job" # there is no other request
				cscs_withdraw
			fi
			if [[ -n $cscs_handover ]]; then
				! cscs_take_back || break
			elif [[ -n $cscs_job ]]; then
				cscs_wait_in_turn
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
	# salloc would only go on to ask whether the nodes are ready; srun asks too. With --no-shell the
	# allocation does not depend on it. One whose request was taken back has nothing to say either.
	[[ -z $cscs_granted && $cscs_handover != taken ]] || kill -KILL "$cscs_salloc" 2>/dev/null
	wait "$cscs_salloc" 2>/dev/null
	cscs_code=$?
	exec {cscs_out}<&-
	cscs_salloc=''
	[[ -z $part ]] || cscs_words+=${cscs_words:+|}$part
	# Slurm may have taken what it could not say that it has.
	if [[ -n $cscs_quick && -z $cscs_granted$cscs_handover ]] && cscs_is_unsure && cscs_find_late; then
		cscs_job=${cscs_jobs[0]%% *} cscs_words=''
		cscs_begin_taking_back
	fi
	# It was granted, or cancelled, while it was taken back: Slurm knows which.
	if [[ $cscs_handover == taking ]]; then
		cscs_granted=''
		cscs_take_back_in_the_end
	fi
	[[ -z $cscs_granted || -z $cscs_words ]] || cscs_say note "message=$cscs_words"
	[[ -z $cscs_granted ]] || cscs_record_job salloc "$cscs_job"
	[[ -n $cscs_granted ]]
}

# cscs_begin_taking_back: from here until sbatch has it, the request is this shell's.
cscs_begin_taking_back() {
	printf '%s\n' "$cscs_job" >"$cscs_dir/salloc"
	cscs_handover=taking
	cscs_mark_asking $$
}

# cscs_take_back: takes the request back from the queue, unless it is granted in the same moment. Succeeds
# when Slurm has said which: cscs_handover is "taken", or cscs_granted is set.
cscs_take_back() {
	local cscs_code=0 cscs_words
	# In Slurm 22.05, scancel looks at the state and then cancels, so a job that is granted between the two is
	# cancelled too. In 24.11, --ctld has slurmctld do both at once.
	cscs_words=$(cscs_exec_query scancel --ctld --state=PENDING "$cscs_job" 2>&1)
	cscs_learn
	case $cscs_info in
	*' JobState=PENDING '*)
		# A site may refuse that (a federation, scancel of the site's own).
		[[ -z $cscs_words ]] || scancel --state=PENDING "$cscs_job" 2>/dev/null
		return 1
		;;
	*' JobState=RUNNING '* | *' JobState=CONFIGURING '* | *' JobState=SUSPENDED '*)
		# A cancellation that had no answer may still come.
		[[ -z $cscs_words ]] || ! cscs_is_unsure || return 1
		cscs_granted=1 cscs_handover=''
		;;
	*' JobState='*) cscs_handover=taken ;;
	*) # a controller that was started again may have forgotten it, or does not answer
		cscs_queue && ((${#cscs_jobs[@]} == 0)) || return 1
		cscs_handover=taken
		;;
	esac
}

# cscs_take_back_in_the_end: the same, for as long as a restart of slurmctld may take.
cscs_take_back_in_the_end() {
	local n
	for ((n = 0; n < 60; n++)); do
		! cscs_take_back || return 0
		if cscs_client || cscs_is_silent; then
			cscs_record_job salloc "$cscs_job"
			cscs_withdraw
		fi
		cscs_nap 0.5
	done
	return 1
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
	local host pid began answer
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
	answer=$(cscs_exec_query scontrol --local --oneliner show step "$cscs_job" 2>&1)
	# A controller that does not answer knows of no step either.
	[[ $answer != *rror* || $answer == *'Invalid job id'* ]] && [[ $answer != *"StepId=$cscs_job."[0-9]* ]]
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
