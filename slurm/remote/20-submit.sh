# submit: requests the allocation (21-request.sh), starts the runner in it, lets go, follows.

# cscs_open_dir: makes the session's directory and writes the files for the node.
cscs_open_dir() {
	local err
	cscs_check_home home
	cscs_find_dir
	cscs_check_parents
	# A full file system often makes a directory and refuses its first byte.
	err=$(cscs_make_dir 2>&1) || cscs_die home "cannot make $cscs_dir: ${err##*: }"
	err=$(cscs_fill_dir 2>&1) || {
		cscs_remove_dir
		cscs_die home "cannot write in $cscs_dir: ${err##*: }"
	}
	cscs_renew 0
	# A stop from elsewhere must know that from here on a request can be on its way.
	if [[ -n $cscs_unwritten ]] || ! cscs_mark_asking $$; then
		cscs_remove_dir
		cscs_die home "cannot write in $cscs_dir"
	fi
}

# cscs_fill_dir: writes the session's files; fails at the first that cannot be written.
cscs_fill_dir() {
	local i
	printf '%s\n' "$cscs_script" >"$cscs_dir/remote.sh" || return
	for ((i = 0; i < ${#cscs_files[@]}; i += 2)); do
		printf %s "${cscs_files[i + 1]}" >"$cscs_dir/${cscs_files[i]}" || return
	done
	cscs_save_environment && : >"$cscs_dir/events"
}

# cscs_check_files: searches for the files that the node needs, and reports missing ones before the
# request.
cscs_check_files() {
	local f
	cd || return 0
	cscs_expand_ahead || return 0
	cscs_check_edf
	# A container has other paths than this host.
	[[ -z $cscs_environment ]] || return 0
	f=${cscs_workdir/#\~/$HOME}
	if [[ -n $f && ! -d $f ]]; then
		! cscs_is_shared_path "$f" || cscs_refuse_session "the work directory $cscs_workdir does not exist"
		cscs_report_missing_path "$cscs_workdir"
	fi
	# Relative paths start in the work directory, as on the node.
	CDPATH='' cd -- "$f" 2>/dev/null || return 0
	f=${cscs_venv/#\~/$HOME}
	if [[ -n $cscs_bootstrap ]]; then
		[[ -n $f && -x $f/bin/$cscs_program ]] || cscs_check_room "${f:-$HOME}"
	elif [[ -n $f && ! -r $f/bin/activate ]]; then
		! cscs_is_shared_path "$f" || cscs_refuse_session "there is no virtual environment in $cscs_venv (no bin/activate)"
		cscs_report_missing_path "$cscs_venv"
	fi
	for f in "${cscs_reads[@]}"; do
		if [[ ! -e ${f/#\~/$HOME} ]] && cscs_is_shared_path "${f/#\~/$HOME}"; then
			cscs_say note "message=$f does not exist on ${HOSTNAME%%.*}: there is nothing to show until it does"
		fi
	done
	cd || return 0
}

# cscs_check_room DIRECTORY: ends the session if --bootstrap may not make DIRECTORY, or write in it.
cscs_check_room() {
	local up=$1
	[[ $up == /* ]] || up=$PWD/$up
	while [[ -n $up && ! -e $up ]]; do up=${up%/*}; done
	[[ -w ${up:-/} ]] || ! cscs_is_shared_path "$1" || cscs_refuse_session "--bootstrap cannot write in ${up:-/}"
}

# cscs_check_edf: ends the session if the EDF does not exist, or reports that it may not exist.
cscs_check_edf() {
	[[ -n $cscs_environment ]] && ! cscs_find_edf || return 0
	if [[ $cscs_environment == */* ]]; then
		! cscs_is_shared_path "$REPLY" || cscs_refuse_session "there is no EDF $REPLY"
		cscs_say note "message=there is no EDF $REPLY on ${HOSTNAME%%.*}: unless the node has it, the server cannot start"
		return
	fi
	# The user's start-up files can set the search path for EDFs.
	local EDF_PATH=${EDF_PATH:-}
	# shellcheck disable=SC2016 # for the login shell to expand
	cscs_run_shell 5 cscs_exec_shell bash --login -c 'printf "\036%s\036" "${EDF_PATH:-}"' 2>/dev/null
	if [[ $REPLY == *$'\036'*$'\036'* ]]; then
		REPLY=${REPLY%$'\036'*}
		EDF_PATH=${REPLY##*$'\036'}
	fi
	cscs_find_edf || cscs_say note "message=there is no EDF $cscs_environment in ${EDF_PATH:-$HOME/.edf}: unless the site has one, the server cannot start"
}

# cscs_report_missing_path PATH: reports that PATH is missing here. It can exist on the nodes alone,
# or be a typing error.
cscs_report_missing_path() {
	((${#cscs_step_args[@]})) || cscs_say note "message=$1 does not exist on ${HOSTNAME%%.*}: unless the node has it, the server cannot start"
}

# cscs_is_shared_path PATH: succeeds if the missing PATH is in a place that the nodes share: below
# the home, or in a file system other than this host's own and those that every host has for itself.
cscs_is_shared_path() {
	local path=$1 up
	[[ $path == /* ]] || path=$PWD/$path
	case $path in
	"$HOME" | "$HOME"/*) return 0 ;;
	esac
	# A uenv can provide all other paths.
	((${#cscs_step_args[@]} == 0)) || [[ -n $cscs_environment ]] || return 1
	case $path in
	/tmp/* | /var/* | /dev/* | /run/*) return 1 ;;
	esac
	up=$path
	while [[ -n $up && ! -d $up ]]; do up=${up%/*}; done
	[[ -n $up && $(stat -c %d "$up") != "$(stat -c %d /)" ]]
}

# cscs_refuse_session MESSAGE: ends the session before the request.
cscs_refuse_session() {
	cscs_say exited reason=setup code= "message=$1 on ${HOSTNAME%%.*}"
	exit 0
}

# cscs_has_client_left: succeeds if the client has sent stop, or is gone. Never waits.
cscs_has_client_left() {
	local line
	read -r -t 0 -u 0 || return 1
	IFS= read -r -t 1 -u 0 line || return 0
	cscs_handle_client_line "$line"
}

# cscs_is_still_wanted: succeeds if the client has not sent stop and is not gone. A login shell can
# hang in its start-up files until the client has given up, and then continue.
cscs_is_still_wanted() {
	while read -r -t 0 -u 0; do
		! cscs_has_client_left || return 1
	done
}

# cscs_handle_client_line LINE: handles a line of the client's: a heartbeat or an order. Succeeds if
# it is stop.
cscs_handle_client_line() {
	case $1 in
	stop) return 0 ;;
	detach) cscs_detaching=1 ;;
	*) cscs_renew "$1" ;;
	esac
	return 1
}

# cscs_check_startup: ends the session before the request if the user's start-up files would end the
# login shell in which the server starts.
cscs_check_startup() {
	cscs_may_end || return 0
	cscs_try_login_shell
	[[ $REPLY != *"$cscs_tab"through="$cscs_tab"code=* || $REPLY == *"$cscs_tab"code=124* ]] || {
		printf '%s\n' "$REPLY"
		exit 0
	}
}

# cscs_submit: runs the verb submit, up to the end of the session.
cscs_submit() {
	cscs_find_slurm
	cscs_check_startup
	cscs_check_files
	cscs_open_dir
	cscs_job='' cscs_granted=''
	cscs_say hello "host=${HOSTNAME%%.*}" "dir=$cscs_dir"
	cscs_sweep_forgotten
	# A stop from elsewhere can have removed the directory.
	if ! cscs_is_still_wanted || ! cscs_is_ours "$cscs_dir"; then
		cscs_remove_dir
		cscs_say withdrawn job=
		exit 0
	fi
	cscs_request_job
	if [[ -n $cscs_granted ]]; then
		cscs_report_grant
		cscs_start_runner
	fi
	cscs_follow 0
}

# cscs_give_up COMMAND CODE TEXT: ends the session, because the command ended without a request in
# Slurm.
cscs_give_up() {
	local left=''
	if ! cscs_is_unsent; then
		if cscs_is_unsure && ! cscs_find_late; then left=1; fi
		cscs_cancel_all || left=1
	fi
	cscs_remove_dir
	cscs_report_refusal "$@" "$left"
	exit 0
}

# cscs_accounts: sets REPLY to the user's accounts; empty without accounting.
cscs_accounts() {
	cscs_find_user
	REPLY=$(sacctmgr --noheader --parsable2 show associations user="$cscs_user" format=account 2>/dev/null </dev/null | sort -u)
	REPLY=${REPLY//$'\n'/ }
}

# cscs_partitions: sets cscs_offer to the partitions with their limits, nodes and memory, as fields
# of cscs_say.
cscs_partitions() {
	local line
	cscs_offer=()
	while IFS= read -r line; do
		[[ $line != *'|'* ]] || cscs_offer+=("partition=$line")
		((${#cscs_offer[@]} < 50)) || break
	done < <(
		# A hidden partition is not an offer, and cscs_exec_query shows them.
		cscs_unset_presets
		exec sinfo --local --noheader --exact --format='%P|%a|%l|%D|%m' 2>/dev/null </dev/null
	)
}

# cscs_report_refusal COMMAND CODE TEXT LEFT: reports that salloc or sbatch ended without an
# allocation. LEFT is set if it is unknown what Slurm has of the request.
cscs_report_refusal() {
	local accounts='' cscs_offer=()
	case $3 in
	*[Pp]artition* | *[Nn]'ode count'* | *'ode configuration'* | *[Mm]emory* | *'ore nodes'* | *'ore processors'* | *'CPU count'*) cscs_partitions ;;
	esac
	# If the account is wrong, the user needs the list of accounts.
	case $3 in
	*[Aa]ccount* | *QOS* | *qos* | *association*)
		cscs_accounts
		accounts=$REPLY
		;;
	esac
	cscs_say refused "by=$1" "code=$2" "message=$3" "accounts=$accounts" "left=$4" "${cscs_offer[@]}"
}

# cscs_report_grant: reports the granted job.
cscs_report_grant() {
	[[ $cscs_info_job == "$cscs_job" ]] || cscs_read_job_file || cscs_ask_job
	cscs_granted=1
	cscs_say granted "job=$cscs_job" "info=$cscs_info"
}

# cscs_ask_job: sets cscs_info to what Slurm knows of the job, and cscs_gres to the generic
# resources of its first node. A job on whole nodes has resources that it did not request. A step
# gets these only if it asks for them (srun(1), --gres). cscs_info_job is the job of this question.
cscs_ask_job() {
	cscs_info_job=$cscs_job
	cscs_info=$(cscs_exec_query scontrol --local --oneliner --details show job "$cscs_job" 2>/dev/null)
	cscs_gres=''
	# Nodes=nid001001 CPU_IDs=0-3 Mem=0 GRES=gpu:4(IDX:0-3),…
	if [[ $cscs_info =~ ' Nodes='[^' ']+' CPU_IDs='[^' ']*' Mem='[^' ']*' GRES='([^' ']+) ]]; then
		cscs_gres=${BASH_REMATCH[1]}
		while [[ $cscs_gres =~ ^(.*)\([^\)]*\)(.*)$ ]]; do
			cscs_gres=${BASH_REMATCH[1]}${BASH_REMATCH[2]}
		done
	fi
}

# cscs_read_job_file: does the same from the answer that the job's script wrote before it started
# the runner.
cscs_read_job_file() {
	{ IFS= read -r cscs_info <"$cscs_dir/job"; } 2>/dev/null && [[ $cscs_info == "JobId=$cscs_job "* ]]
}

# cscs_srun COMMAND...: becomes the srun of a step with everything that the allocation has on one
# node: all CPUs (no binding), all memory, all generic resources. Other steps share them. All
# options are on the command line.
cscs_srun() {
	local gres=()
	[[ -z ${cscs_gres:-} ]] || gres=(--gres="$cscs_gres")
	cscs_unset_presets
	exec setsid srun --jobid="$cscs_job" "${cscs_srun_args[@]}" "${gres[@]}" "$@"
}

# Seconds for which one srun waits for the runner's step, and all of them together. By itself, an
# srun whose step cannot be made at once waits for SlurmctldTimeout, at least a minute. Only the end
# of another step of the job ends that wait (create_job_step in Slurm's src/srun/launch.c). After a
# restart of slurmctld, it would wait that long for a node that slurmctld knows again 2 s later.
cscs_step_wait=5 cscs_step_most=300

# Seconds without a word of srun's after which the script asks whether its step exists. Slurm makes it
# within cscs_step_wait, or srun ends. If the step is missing twice, srun does not know of its end.
cscs_unheard_most=${cscs_unheard_most:-25}

# cscs_start_runner [keep]: starts the runner and, when the runner has reported its start, lets go
# of it: from then on no process on the login node matters. One call kills srun and the shepherd
# process that srun forks. If only one of them dies, the other ends the step. Their process group is
# that of the session that setsid started.
cscs_start_runner() {
	local said fd pid began tried reach=''
	printf '%s\n' "$cscs_gres" >"$cscs_dir/gres"
	printf '%s\n' "$cscs_info" >"$cscs_dir/job"
	cscs_uptime
	began=$REPLY
	while :; do
		cscs_uptime
		tried=$REPLY
		! cscs_start_runner_once || break
		cscs_uptime
		if cscs_missed_slurmctld "$said" && ((REPLY - began < cscs_step_most * 1000)); then
			cscs_nap 1
			continue
		fi
		# srun reports this without a step: it has waited too long, or Slurm has not answered. After
		# any other message a step can exist, and there must be only one.
		if [[ $said != *'Unable to create step'* && $said != *'Unable to confirm allocation'* ]] ||
			((REPLY - tried < cscs_step_wait * 1000 - 1000 || REPLY - began > cscs_step_most * 1000)); then
			if [[ -z $cscs_batched ]] && cscs_node_is_out_of_reach "$said"; then
				reach=none
				if [[ $cscs_via == auto && -z $cscs_unbatched ]] && cscs_is_running; then
					cscs_move_to_batch "$said"
					return
				fi
			fi
			# Without a runner the job would run to its time limit. A batch script ends its job, but
			# only this cancellation ends salloc's.
			[[ -n $cscs_batched ]] || cscs_cancel_in_the_end
			cscs_report stepfailed "code=$cscs_code" "message=$said" "reach=$reach"
			exit 0
		fi
	done
	[[ ${1:-} != keep ]] || return 0
	kill -KILL -- "-$pid" 2>/dev/null
	# Otherwise the shell reports each killed child on its standard error.
	wait "$pid" 2>/dev/null
	exec {fd}<&-
	cscs_let_go=1
}

# cscs_missed_slurmctld WORDS: succeeds if srun, which asks for the job first, did not reach
# slurmctld then, as during a restart. No step exists, and the next srun can get one.
cscs_missed_slurmctld() {
	[[ $1 == *'Unable to confirm allocation'*@('onnection '|'imed out'|'ontact slurm')* ]]
}

# cscs_node_is_out_of_reach WORDS: succeeds if srun reports that this host and the node do not reach
# each other, so that no step can be started from here (Slurm's slurm_errno.c,
# SLURM_UNKNOWN_FORWARD_ADDR and SLURM_COMMUNICATIONS_CONNECTION_ERROR).
cscs_node_is_out_of_reach() {
	[[ $1 == *@("Can't find an address"|'Task launch for '*'ommunication connection failure'|"$cscs_unheard")* ]]
}

# The words for a step whose node does not reach its srun.
cscs_unheard='the node has not answered srun on this host'

# cscs_is_running: succeeds if Slurm reports that the job runs and its nodes are ready.
cscs_is_running() {
	local info
	info=$(cscs_exec_query scontrol --local --oneliner show job "$cscs_job" 2>/dev/null)
	[[ $info == *' JobState=RUNNING '* ]]
}

# cscs_move_to_batch WORDS: cancels the granted job and gives the request to sbatch, whose script
# starts the step on the node itself. WORDS are those of the srun that failed on this host.
cscs_move_to_batch() {
	if ! cscs_cancel_in_the_end; then
		cscs_say stepfailed "code=$cscs_code" "message=$1"
		exit 0
	fi
	if ! cscs_is_still_wanted; then
		cscs_remove_dir
		cscs_say withdrawn "job=$cscs_job"
		exit 0
	fi
	cscs_say requeued "job=$cscs_job" "message=no job step could be started from ${HOSTNAME%%.*} (${1//|/; }): sbatch requests another job, which starts it on the node (--via sbatch does so at once)"
	rm -f "$cscs_dir"/{gres,job,starter,runner,pulse}
	cscs_forget_runner
	cscs_uptime
	cscs_asked=$REPLY cscs_handover=taken cscs_granted='' cscs_job='' cscs_info_job='' cscs_runner_step=''
	cscs_put_in_queue || cscs_give_up sbatch "$cscs_code" "$1|$cscs_words"
}

# cscs_has_lost_step: succeeds if Slurm reports that the job runs, and that it has no step but those of
# Slurm itself.
cscs_has_lost_step() { cscs_is_running && cscs_has_no_step; }

# cscs_start_runner_once: starts the runner. Succeeds when the runner has reported its start: its
# srun is the caller's pid, and its output is in fd. Otherwise srun has ended; cscs_code and said
# describe how.
cscs_start_runner_once() {
	local line part='' began seen=''
	said=''
	cscs_uptime
	began=$REPLY
	exec {fd}< <(
		cscs_leave_login
		cscs_srun --immediate="$cscs_step_wait" --relative=0 bash --noprofile --norc -p "$cscs_dir/remote.sh" run 2>&1 </dev/null
	)
	pid=$!
	while :; do
		IFS= read -r -t 0.5 -u "$fd" line
		cscs_code=$?
		if ((cscs_code == 0)); then
			line=$part$line part=''
			[[ $line != cscs-alive ]] || return 0
			said+=${said:+|}$line
			cscs_uptime
			began=$REPLY seen=''
			continue
		fi
		part+=$line
		if ((cscs_code <= 128)); then
			wait "$pid"
			cscs_code=$?
			exec {fd}<&-
			[[ -z $part ]] || said+=${said:+|}$part
			return 1
		fi
		[[ -z $cscs_batched ]] || continue
		if cscs_has_client_left || cscs_is_silent; then
			kill -KILL -- "-$pid" 2>/dev/null # srun may not hear of the job's end
			cscs_cancel_in_the_end
			exit 0
		fi
		# A node that does not reach this host cannot report to srun, which then waits for minutes. Slurm
		# has no step any more, or has ended the job. A slow prolog is different: the step exists, or the
		# nodes are not ready.
		cscs_uptime
		((REPLY - began > cscs_unheard_most * 1000)) || continue
		began=$REPLY
		if ! cscs_has_lost_step; then
			seen=''
		elif [[ -z $seen ]]; then
			seen=1
		else
			kill -KILL -- "-$pid" 2>/dev/null
			wait "$pid" 2>/dev/null
			cscs_code=$?
			exec {fd}<&-
			said+=${said:+|}$cscs_unheard
			return 1
		fi
	done
}
