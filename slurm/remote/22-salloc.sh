# Asking by salloc, which is a process on the login node for as long as the request waits;
# and handing a request that waits for long over to sbatch, so that nothing on the login
# node is needed any more.

# cscs_ask: asks by salloc. Returns when the allocation is granted (cscs_granted), or when
# the request waits in the queue by itself.
cscs_ask() {
	local line part='' errors='' code began next='' tried now guard=()
	# A request that everybody has forgotten leaves the queue by itself at its deadline: by
	# then it could not have been granted as was asked. Slurm (24.11) looks at it while the job
	# is pending only; a job that runs is left alone.
	line=$cscs_deadline
	[[ $cscs_via != auto ]] || line=$cscs_deadline_auto
	[[ -z $line ]] || guard=(--deadline="$line")
	# In a session of its own: what ends this shell shall not end it unasked.
	exec {cscs_out}< <(exec setsid salloc --no-shell --job-name="$cscs_name" "${cscs_salloc_args[@]}" "${guard[@]}" 2>&1 </dev/null)
	cscs_salloc=$!
	cscs_job=''
	cscs_uptime
	began=$REPLY

	while :; do
		IFS= read -r -t 0.25 -u "$cscs_out" line
		code=$?
		if ((code != 0)); then
			part+=$line
			((code > 128)) || break
			if cscs_client || cscs_silent; then cscs_withdraw; fi
			[[ -n $cscs_job ]] || continue
			cscs_uptime
			now=$REPLY
			if [[ -n $next ]]; then
				# It is on its way out. Slurm may be too busy to have heard.
				((now - tried < 5000)) || {
					tried=$now
					scancel --state=PENDING "$cscs_job" </dev/null 2>/dev/null
				}
				continue
			fi
			cscs_ask_in_turn
			if [[ $cscs_via == auto ]] && ((now - began >= cscs_patience)) || [[ -n $cscs_detaching ]]; then
				tried=$now
				cscs_hand_over
				next=$REPLY
			fi
			continue
		fi
		line=$part$line part=''
		case $line in
		*'Pending job allocation '*)
			cscs_job=${line##* }
			cscs_say pending "job=$cscs_job"
			cscs_begin_turn
			;;
		*'Granted job allocation '*)
			cscs_job=${line##* }
			cscs_granted=1
			break
			;;
		*'queued and waiting for resources'* | *'has been allocated resources'*) ;;
		*) errors+=${errors:+|}$line ;;
		esac
	done
	# Granted and taken back may have crossed: what Slurm says now is what counts.
	if [[ -n $cscs_granted && -n $next ]] && ! cscs_holds "$cscs_job"; then
		cscs_granted=''
		kill -KILL "$cscs_salloc" 2>/dev/null
	fi
	if [[ -n $cscs_granted ]]; then
		[[ $next != +([0-9]) ]] || cscs_take_back "$next"
		[[ -z $errors ]] || cscs_say note "message=$errors"
		# salloc would only go on to ask whether the nodes are ready; srun asks too. With
		# --no-shell the allocation does not depend on it.
		kill -KILL "$cscs_salloc" 2>/dev/null
		wait "$cscs_salloc" 2>/dev/null
		exec {cscs_out}<&-
		return
	fi
	wait "$cscs_salloc" 2>/dev/null
	code=$?
	exec {cscs_out}<&-
	cscs_salloc=''
	[[ -z $part ]] || errors+=${errors:+|}$part
	case $next in
	'') cscs_give_up salloc "$code" "$errors" ;;
	again)
		# Never a second request beside one that may still be there.
		cscs_leave_only '' || cscs_give_up salloc "$code" "$cscs_said"
		cscs_ask
		;;
	*)
		cscs_leave_only "$next"
		# It waits for the first one's end, which Slurm would see with its next look at the queue.
		scontrol update JobId="$next" Dependency= </dev/null >/dev/null 2>&1
		cscs_in_queue "$next"
		;;
	esac
}

# cscs_hand_over: gives the request to sbatch, and takes the one that salloc has made back.
# The second job depends on the end of the first: Slurm itself sees to it that there are
# never two allocations, whatever is killed at whatever moment, and that one of the two
# requests goes on. REPLY is the second job; "again" if sbatch does not take the request and
# salloc has to be asked anew; nothing if all stays as it is.
cscs_hand_over() {
	local detaching=$cscs_detaching
	cscs_detaching=''
	if [[ $cscs_via != auto ]]; then
		cscs_say note "message=the request waits with salloc on ${HOSTNAME%%.*} and ends with this session: it cannot be left alone before it is granted"
		REPLY=''
		return
	fi
	if cscs_enqueue hand-over --dependency=afterany:"$cscs_job"; then
		cscs_detaching=$detaching
	else
		cscs_via=salloc
		# A request whose answer was lost.
		cscs_leave_only "$cscs_job"
		cscs_say note "message=sbatch does not take what salloc took (${cscs_words//|/; }): the request waits with salloc, on ${HOSTNAME%%.*}"
		REPLY=''
		# What salloc was given for a short wait would end a long one.
		[[ $cscs_deadline != "$cscs_deadline_auto" ]] || return
		REPLY=again
	fi
	scancel --state=PENDING "$cscs_job" </dev/null 2>/dev/null
}

# cscs_take_back JOB: the first request was granted in the moment in which it was handed
# over, so the second goes. If Slurm does not hear that, it waits for the end of the
# first, and its script finds that it has nothing to do.
cscs_take_back() {
	printf 'none\n' >"$cscs_dir/batch"
	scancel "$1" </dev/null 2>/dev/null
}

# cscs_holds JOB: has the job its allocation? Asks until Slurm answers.
cscs_holds() {
	local answer
	while :; do
		answer=$(squeue --local --noheader --jobs="$1" --format=%T 2>&1)
		case $answer in
		RUNNING* | CONFIGURING* | SUSPENDED*) return 0 ;;
		'' | COMPLETING* | CANCELLED* | DEADLINE* | PENDING* | *'Invalid job id'*) return 1 ;;
		esac
		if cscs_client || cscs_silent; then cscs_withdraw; fi
		cscs_nap 2
	done
}

# cscs_leave_only JOB: cancels every other job of the session, and sees that they are gone.
cscs_leave_only() {
	local nap job others
	for nap in 0.2 0.4 0.8 1.5 3 0; do
		if cscs_queue; then
			others=()
			for job in "${cscs_jobs[@]}"; do [[ ${job%% *} == "$1" ]] || others+=("${job%% *}"); done
			((${#others[@]})) || return 0
			for job in "${others[@]}"; do scancel "$job" </dev/null 2>/dev/null; done
		fi
		cscs_nap "$nap"
	done
	return 1
}

# cscs_withdraw: takes the request back. On SIGTERM a pending salloc has Slurm
# forget the job; SIGKILL would leave it in the queue, nobody's.
cscs_withdraw() {
	local line
	if [[ -n $cscs_salloc ]]; then
		kill -TERM "$cscs_salloc" 2>/dev/null
		while IFS= read -r -t 10 -u "$cscs_out" line; do :; done
		wait "$cscs_salloc" 2>/dev/null
	fi
	cscs_cancel_in_the_end
	cscs_remove_dir
	cscs_say withdrawn "job=$cscs_job"
	exit 0
}

# cscs_cancel_all: cancels what Slurm has of this session, and sees that it is gone. A
# request can outlive the salloc that made it: granted in the moment in which it was
# taken back, or queued by a controller whose answer was lost.
cscs_cancel_all() { cscs_leave_only ''; }

# cscs_cancel_in_the_end: the same for a client that may be gone: if slurmctld does not
# answer now, nobody will ask it later. For as long as a restart of it may take.
cscs_cancel_in_the_end() {
	local n
	for ((n = 0; n < 60; n++)); do
		cscs_cancel_all && break
	done
}
