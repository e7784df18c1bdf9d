# Requests by sbatch, which wait without a process on the login node. The script of the job is the
# verb batch here, which starts the same runner in the same kind of step.

# cscs_put_in_queue: requests the job from sbatch, after the end of salloc's request. Succeeds when
# the request waits in the queue. Otherwise cscs_code and cscs_words describe the end of sbatch.
cscs_put_in_queue() {
	# A stop from elsewhere can have removed the directory.
	cscs_is_ours "$cscs_dir" || cscs_withdraw
	rm -f "$cscs_dir/salloc" # that request is gone, and the next one has no number yet
	until cscs_request_sbatch; do
		cscs_may_request_again || return 1
	done
	cscs_report_queued "$REPLY"
}

# cscs_request_sbatch: gives the request to sbatch. Sets REPLY to the job. If it fails, cscs_code
# and cscs_words describe the end of sbatch.
cscs_request_sbatch() {
	local line=${cscs_dir//\\/\\\\} part='' job='' quoted=${cscs_dir//\'/\'\\\'\'}
	line=${line//%/%%}
	cscs_words=''
	cscs_mark_asking $$
	exec {cscs_out}< <(
		cscs_presets SALLOC SBATCH
		# sbatch runs in its own session, so that a signal to this shell does not end it unnoticed.
		# The user's options come last, so none of them can take a word of ours as its value.
		exec setsid sbatch --parsable --job-name="$cscs_name" --export=ALL --no-requeue --output="$line/batch.log" \
			--wrap="exec bash --noprofile --norc -p '$quoted/remote.sh' batch" "${cscs_salloc_args[@]}" 2>&1 </dev/null
	)
	cscs_sbatch=$!
	cscs_mark_asking "$cscs_sbatch"
	while :; do
		IFS= read -r -t 0.25 -u "$cscs_out" line
		cscs_code=$?
		line=$part$line part=''
		if ((cscs_code > 128)); then
			part=$line
			if cscs_has_client_left || cscs_is_silent; then cscs_withdraw_batch; fi
			continue
		fi
		# At some sites, sbatch has no --parsable.
		if [[ $line =~ ^('Submitted batch job ')?([0-9]+)(' on cluster '.*|\;.*)?$ ]]; then
			job=${BASH_REMATCH[2]}
		elif [[ -n $line ]]; then
			cscs_words+=${cscs_words:+|}$line
		fi
		((cscs_code == 0)) || break
	done
	wait "$cscs_sbatch"
	cscs_code=$?
	exec {cscs_out}<&-
	((cscs_code == 0)) || job=''
	# Slurm can have taken a request without an answer, or a site's sbatch does not print the
	# number.
	if [[ -z $job ]] && { ((cscs_code == 0)) || cscs_is_unsure; } && cscs_find_late; then
		job=${cscs_jobs[0]%% *} cscs_words='' # they report a failure
	fi
	[[ -n $job ]] || return 1
	cscs_record_job batch "$job"
	[[ -z $cscs_words ]] || cscs_say note "message=$cscs_words"
	REPLY=$job
}

# cscs_mark_asking PID: records in the session's directory, for cscs_stop_session, that the process
# can make a request of Slurm that has no number here yet. The file asking is removed when there is
# a number, or certainly none. It contains "again" while a request that was taken back from salloc
# goes to sbatch.
cscs_mark_asking() {
	cscs_asking=1
	printf '%s %s %s\n' "${HOSTNAME%%.*}" "$1" "${cscs_handover:+again}" >"$cscs_dir/asking"
}

# cscs_record_job FILE JOB: records the number of the request.
cscs_record_job() {
	printf '%s\n' "$2" >"$cscs_dir/$1"
	rm -f "$cscs_dir/asking"
	cscs_asking=''
}

# cscs_withdraw_batch: takes back a request for which sbatch has no answer yet.
cscs_withdraw_batch() {
	kill -KILL "$cscs_sbatch" 2>/dev/null
	wait "$cscs_sbatch" 2>/dev/null
	cscs_cancel_late || exit
	cscs_remove_dir
	cscs_say withdrawn job=
	exit 0
}

# cscs_is_unsent: succeeds if the request never left the command, because slurmctld accepted no
# connection (slurm_errno.h, SLURMCTLD_COMMUNICATIONS_CONNECTION_ERROR).
cscs_is_unsent() { [[ $cscs_words == *'Unable to contact slurm controller (connect failure)'* ]]; }

# cscs_is_unsure: succeeds if cscs_code and cscs_words of salloc or sbatch do not show whether Slurm
# has taken the request: the command was killed, or its message or the answer was lost (Slurm's
# slurm_errno.c, general communication errors; errno(3)).
cscs_is_unsure() {
	((cscs_code > 128)) && return
	! cscs_is_unsent || return 1
	case $cscs_words in
	'' | *'imed out'* | *'timeout'* | *[Cc]ommunication* | *'onnection '* | *'Unable to contact'* | *'Zero Bytes'* | *'Message '* | \
		*'ransport endpoint'* | *'nsane message'* | *'nexpected message'* | *'rotocol'* | *'standby mode'* | *'o route to host'* | *'Network is '* | *'roken pipe'*)
		return 0
		;;
	esac
	return 1
}

# cscs_is_refusal: succeeds if cscs_words of sbatch or salloc are slurmctld's own refusal of the
# request.
cscs_is_refusal() {
	[[ $cscs_words == *@('Batch job submission failed: '|'allocate failed: '|'Unable to allocate resources: ')* ]] && ! cscs_is_unsure
}

# cscs_is_lost: after cscs_find_late has found nothing: succeeds if slurmctld answers and has no
# request.
cscs_is_lost() { cscs_is_unsure && cscs_find_session_jobs && ((${#cscs_jobs[@]} == 0)); }

# cscs_find_late: waits for a request that Slurm can still take from its backlog. Succeeds as soon
# as cscs_jobs has one. Slurm answers several later requests in that time.
cscs_find_late() {
	local nap
	for nap in 0.1 0.3 0.6 1 1.5 2 2 0; do
		if cscs_find_session_jobs && ((${#cscs_jobs[@]})); then return 0; fi
		cscs_nap "$nap"
	done
	return 1
}

# cscs_cancel_late: does the same, and cancels the request. Only an answer of slurmctld's confirms
# the end, so it retries for the time that a restart of slurmctld can take.
cscs_cancel_late() {
	cscs_find_late
	cscs_cancel_in_the_end
}

# cscs_presets OTHER OWN: keeps only the presets for the command whose variables begin with OWN.
# With --via auto, a request has the presets of salloc and sbatch, for either command. If both are
# set, salloc's count, because users and sites set those for interactive work.
cscs_presets() {
	local v own
	if [[ $cscs_via == auto ]]; then
		for v in $(compgen -v "$1_"); do
			own=$2_${v#*_}
			[[ $2 == SALLOC && -n ${!own+set} ]] || export "$own=${!v}"
		done
	fi
	cscs_unset_request_presets
}

# cscs_report_queued JOB: reports that the request waits in Slurm alone from now on.
cscs_report_queued() {
	cscs_job=$1
	cscs_say pending "job=$cscs_job" kept=1
	cscs_begin_waiting
}

# batch: the batch script, on the first node. It starts the runner in its own step, as from the
# login node. Slurm treats a batch step differently: in its generic resources and networks, and in
# what a signal to the job reaches. This shell stays only because the job would end with it.
cscs_batch() {
	local v
	cscs_dir=${BASH_SOURCE[0]%/*}
	cscs_job=$SLURM_JOB_ID cscs_batched=1
	exec >>"$cscs_dir/runner.log" 2>&1 </dev/null
	! cscs_has_exited || return  # the session has ended
	cscs_claim_session || return # another job has the session
	# The runner also gets Slurm's signals and acts on them.
	trap 'cscs_stop=slurm' TERM INT
	trap : URG HUP
	cscs_stop=''
	for v in $(compgen -e); do unset "$v"; done 2>/dev/null
	# The step gets the environment that srun would bring from the login node, not the one that
	# sbatch makes of it.
	# shellcheck disable=SC1091 # made by cscs_save_environment
	. "$cscs_dir/environ"
	cscs_ask_job
	cscs_start_runner
	cscs_wait_for_runner
	if [[ -z $cscs_lived ]]; then
		cscs_event note "message=the job step of cscs ended within seconds of its start: starting it again, and keeping its srun in the job"
		cscs_start_runner keep
		cscs_wait_for_runner
	fi
}

# cscs_report KIND [KEY=VALUE]...: reports to the client, from the login node or the batch script.
cscs_report() {
	if [[ -n $cscs_batched ]]; then cscs_event "$@"; else cscs_say "$@"; fi
}

# cscs_wait_for_runner: waits until the runner has ended. cscs_lived is empty if that was so early
# that the end of its srun can be the cause; a signal to the runner or its step looks the same. A
# runner that shows neither its process nor its pulse for 30 s counts as ended.
cscs_wait_for_runner() {
	local pid='' pulse='' last='' began now beat seen='' line
	while IFS= read -r line; do
		[[ $line != alive* ]] || pid=${line#*"$cscs_tab"pid=}
	done <"$cscs_dir/events"
	pid=${pid%%"$cscs_tab"*} cscs_lived=1
	cscs_uptime
	began=$REPLY beat=$REPLY
	while :; do
		cscs_uptime
		now=$REPLY
		{ IFS= read -r last <"$cscs_dir/pulse"; } 2>/dev/null
		if kill -0 "$pid" 2>/dev/null; then
			seen=1 beat=$now
		elif [[ $last != "$pulse" ]]; then
			pulse=$last beat=$now
		elif [[ -n $seen && ! -e $cscs_dir/events ]]; then
			return # the session has ended and its directory is removed
		elif ((now - beat > (${#seen} ? 1500 : 30000))); then
			break
		fi
		! cscs_has_exited 2>/dev/null || return
		cscs_nap 1
	done
	# A runner whose pulse has reached three has outlived its srun.
	if [[ -n $cscs_let_go && -z $cscs_stop ]] && ((beat - began < 6000 && 10#0${last//[!0-9]/} < 3)); then
		cscs_let_go='' cscs_lived=''
		return
	fi
	# Report what the runner could not.
	if [[ -n $cscs_stop ]]; then
		cscs_event exited reason=term code= message=
	else
		cscs_event exited reason=killed code= "message=our job step was killed (scancel of the step, or out of memory?)"
	fi
}
