# submit: asks for the allocation, starts the runner in it, lets go, follows. How it
# asks: 22-salloc.sh, 24-batch.sh.

# cscs_open_dir: makes the session's directory and writes into it what the node needs.
cscs_open_dir() {
	local err
	cscs_see_home home
	cscs_find_dir
	cscs_see_parents
	# A full file system often makes a directory and refuses the first byte.
	err=$(cscs_make_dir 2>&1) || cscs_die home "cannot make $cscs_dir: ${err##*: }"
	err=$(cscs_fill_dir 2>&1) || {
		cscs_remove_dir
		cscs_die home "cannot write in $cscs_dir: ${err##*: }"
	}
	cscs_renew 0
	# From here on a request may be on its way, for a stop that comes from elsewhere.
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

# cscs_look_ahead: what the node would not find, it does not find here either, and
# that is told before a node is asked for.
cscs_look_ahead() {
	local f
	cd || return 0
	cscs_expand_ahead || return 0
	cscs_look_for_edf
	# Paths in a container are not those here.
	[[ -z $cscs_environment ]] || return 0
	f=${cscs_workdir/#\~/$HOME}
	if [[ -n $f && ! -d $f ]]; then
		! cscs_not_here "$f" || cscs_not_there "the work directory $cscs_workdir is not there"
		cscs_perhaps_not "$cscs_workdir"
	fi
	# What is relative is looked for in the work directory, as the node will do.
	CDPATH='' cd -- "$f" 2>/dev/null || return 0
	f=${cscs_venv/#\~/$HOME}
	if [[ -n $cscs_bootstrap ]]; then
		[[ -n $f && -x $f/bin/$cscs_program ]] || cscs_check_room "${f:-$HOME}"
	elif [[ -n $f && ! -r $f/bin/activate ]]; then
		! cscs_not_here "$f" || cscs_not_there "there is no virtual environment in $cscs_venv (no bin/activate)"
		cscs_perhaps_not "$cscs_venv"
	fi
	for f in "${cscs_reads[@]}"; do
		if [[ ! -e ${f/#\~/$HOME} ]] && cscs_not_here "${f/#\~/$HOME}"; then
			cscs_say note "message=$f is not there on ${HOSTNAME%%.*}: there is nothing to show until it is"
		fi
	done
	cd || return 0
}

# cscs_check_room DIRECTORY: ends the session if --bootstrap may not make DIRECTORY, or write in it.
cscs_check_room() {
	local up=$1
	[[ $up == /* ]] || up=$PWD/$up
	while [[ -n $up && ! -e $up ]]; do up=${up%/*}; done
	[[ -w ${up:-/} ]] || ! cscs_not_here "$1" || cscs_not_there "--bootstrap cannot write in ${up:-/}"
}

# cscs_look_for_edf: ends the session if the EDF is not there, or reports that it may not be.
cscs_look_for_edf() {
	[[ -n $cscs_environment ]] && ! cscs_find_edf || return 0
	if [[ $cscs_environment == */* ]]; then
		! cscs_not_here "$REPLY" || cscs_not_there "there is no EDF $REPLY"
		cscs_say note "message=there is no EDF $REPLY on ${HOSTNAME%%.*}: unless the node has it, the server cannot start"
		return
	fi
	# The user's start-up files may say where EDFs are.
	local EDF_PATH=${EDF_PATH:-}
	# shellcheck disable=SC2016 # for the login shell to expand
	cscs_ask_shell 5 cscs_exec_shell bash --login -c 'printf "\036%s\036" "${EDF_PATH:-}"' 2>/dev/null
	if [[ $REPLY == *$'\036'*$'\036'* ]]; then
		REPLY=${REPLY%$'\036'*}
		EDF_PATH=${REPLY##*$'\036'}
	fi
	cscs_find_edf || cscs_say note "message=there is no EDF $cscs_environment in ${EDF_PATH:-$HOME/.edf}: unless the site has one, the server cannot start"
}

# cscs_perhaps_not PATH: it may be there on the nodes alone; a slip of the pen looks the same.
cscs_perhaps_not() {
	((${#cscs_step_args[@]})) || cscs_say note "message=$1 is not there on ${HOSTNAME%%.*}: unless the node has it, the server cannot start"
}

# cscs_not_here PATH: does PATH, which is missing, lie where the nodes look too: below
# the home, or in another file system than this host's own (which the nodes do not have)
# and than those that every host has for itself?
cscs_not_here() {
	local path=$1 up
	[[ $path == /* ]] || path=$PWD/$path
	case $path in
	"$HOME" | "$HOME"/*) return 0 ;;
	esac
	# A uenv may bring the rest with it.
	((${#cscs_step_args[@]} == 0)) || [[ -n $cscs_environment ]] || return 1
	case $path in
	/tmp/* | /var/* | /dev/* | /run/*) return 1 ;;
	esac
	up=$path
	while [[ -n $up && ! -d $up ]]; do up=${up%/*}; done
	[[ -n $up && $(stat -c %d "$up") != "$(stat -c %d /)" ]]
}

# cscs_not_there MESSAGE: ends the session before anything is asked for.
cscs_not_there() {
	cscs_say exited reason=setup code= "message=$1 on ${HOSTNAME%%.*}"
	exit 0
}

# cscs_client: has the client said stop, or gone? Never waits.
cscs_client() {
	local line
	read -r -t 0 -u 0 || return 1
	IFS= read -r -t 1 -u 0 line || return 0
	cscs_heed "$line"
}

# cscs_still_wanted: has the client neither said stop nor gone? A login shell can hang in its start-up
# files for longer than anybody waits, and go on then.
cscs_still_wanted() {
	while read -r -t 0 -u 0; do
		! cscs_client || return 1
	done
}

# cscs_heed LINE: what the client says: its heartbeat, or an order. True: stop.
cscs_heed() {
	case $1 in
	stop) return 0 ;;
	detach) cscs_detaching=1 ;;
	*) cscs_renew "$1" ;;
	esac
	return 1
}

# cscs_check_startup: ends the session before anything is asked for if the user's start-up files would end the login
# shell in which the server starts.
cscs_check_startup() {
	cscs_may_end || return 0
	cscs_try_login_shell
	[[ $REPLY != *"$cscs_tab"through="$cscs_tab"code=* || $REPLY == *"$cscs_tab"code=124* ]] || {
		printf '%s\n' "$REPLY"
		exit 0
	}
}

cscs_submit() {
	cscs_have_slurm
	cscs_check_startup
	cscs_look_ahead
	cscs_open_dir
	cscs_job='' cscs_granted=''
	cscs_say hello "host=${HOSTNAME%%.*}" "dir=$cscs_dir"
	cscs_sweep_forgotten
	# A stop from elsewhere has removed the directory.
	if ! cscs_still_wanted || ! cscs_is_ours "$cscs_dir"; then
		cscs_remove_dir
		cscs_say withdrawn job=
		exit 0
	fi
	cscs_request
	if [[ -n $cscs_granted ]]; then
		cscs_grant
		cscs_runner
	fi
	cscs_follow 0
}

# cscs_give_up COMMAND CODE TEXT: the command ended without a request that Slurm has taken.
cscs_give_up() {
	local left=''
	if ! cscs_is_unsent; then
		if cscs_is_unsure && ! cscs_find_late; then left=1; fi
		cscs_cancel_all || left=1
	fi
	cscs_remove_dir
	cscs_refused "$@" "$left"
	exit 0
}

# cscs_accounts: REPLY are the user's accounts, none where there is no accounting.
cscs_accounts() {
	cscs_me
	REPLY=$(sacctmgr --noheader --parsable2 show associations user="$cscs_user" format=account 2>/dev/null </dev/null | sort -u)
	REPLY=${REPLY//$'\n'/ }
}

# cscs_partitions: cscs_offer is what there is, as fields of cscs_say: the partitions with their limits, nodes
# and memory.
cscs_partitions() {
	local line
	cscs_offer=()
	while IFS= read -r line; do
		[[ $line != *'|'* ]] || cscs_offer+=("partition=$line")
		((${#cscs_offer[@]} < 50)) || break
	done < <(
		# A hidden partition is no offer (cscs_exec_query shows them).
		cscs_unset_presets
		exec sinfo --local --noheader --exact --format='%P|%a|%l|%D|%m' 2>/dev/null </dev/null
	)
}

# cscs_refused COMMAND CODE TEXT LEFT: salloc or sbatch ended without an allocation, and if
# LEFT is set nobody knows what Slurm has of the request.
cscs_refused() {
	local accounts='' cscs_offer=()
	case $3 in
	*[Pp]artition* | *[Nn]'ode count'* | *'ode configuration'* | *[Mm]emory* | *'ore nodes'* | *'ore processors'* | *'CPU count'*) cscs_partitions ;;
	esac
	# What is wrong with an account only a list of the user's accounts mends.
	case $3 in
	*[Aa]ccount* | *QOS* | *qos* | *association*)
		cscs_accounts
		accounts=$REPLY
		;;
	esac
	cscs_say refused "by=$1" "code=$2" "message=$3" "accounts=$accounts" "left=$4" "${cscs_offer[@]}"
}

# cscs_grant: tells what was granted.
cscs_grant() {
	[[ $cscs_learnt == "$cscs_job" ]] || cscs_recall || cscs_learn
	cscs_granted=1
	cscs_say granted "job=$cscs_job" "info=$cscs_info"
}

# cscs_learn: cscs_info is what Slurm knows of the job, and cscs_gres the generic resources
# of its first node: a step of a job on whole nodes is not given those that the job has
# only because the node is all its own (srun(1), --gres), so they are asked for. cscs_learnt is
# the job of which this was asked.
cscs_learn() {
	cscs_learnt=$cscs_job
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

# cscs_recall: the same from the job's script, which has asked before it began.
cscs_recall() {
	{ IFS= read -r cscs_info <"$cscs_dir/job"; } 2>/dev/null && [[ $cscs_info == "JobId=$cscs_job "* ]]
}

# cscs_srun COMMAND...: replaces this shell by a step with everything that the
# allocation has on one node: all CPUs (no binding), all memory, all generic
# resources, shared with whatever else runs there. All of that stands on the command line.
cscs_srun() {
	local gres=()
	[[ -z ${cscs_gres:-} ]] || gres=(--gres="$cscs_gres")
	cscs_unset_presets
	exec setsid srun --jobid="$cscs_job" "${cscs_srun_args[@]}" "${gres[@]}" "$@"
}

# For how long one srun waits for the runner's step, and all of them, in seconds. By itself,
# one whose step cannot be made at once waits for SlurmctldTimeout, a minute at the least,
# unless another step of the job ends (Slurm's src/srun/launch.c, create_job_step): after a
# restart of slurmctld that would be for a node that it hears of 2 s later.
cscs_step_wait=5 cscs_step_most=300

# cscs_runner [keep]: starts the runner and, once it has shown life, lets go of
# it: from then on no process on the login node matters. srun and the shepherd
# that it forks are killed in one call: if only one of them dies, the other ends
# the step. Their group is that of the session that setsid began.
cscs_runner() {
	local said fd pid began tried
	printf '%s\n' "$cscs_gres" >"$cscs_dir/gres"
	printf '%s\n' "$cscs_info" >"$cscs_dir/job"
	cscs_uptime
	began=$REPLY
	while :; do
		cscs_uptime
		tried=$REPLY
		! cscs_begin_runner || break
		cscs_uptime
		if cscs_missed_slurmctld "$said" && ((REPLY - began < cscs_step_most * 1000)); then
			cscs_nap 1
			continue
		fi
		# What srun says where there is no step: it has waited in vain, or Slurm has not
		# answered. Whatever else it says, a step may be there, and there must be one only.
		if [[ $said != *'Unable to create step'* && $said != *'Unable to confirm allocation'* ]] ||
			((REPLY - tried < cscs_step_wait * 1000 - 1000 || REPLY - began > cscs_step_most * 1000)); then
			# Without a runner the job would run to its time limit: a batch script ends it, but
			# salloc's has no other end than this.
			[[ -n $cscs_batched ]] || cscs_cancel_in_the_end
			cscs_tell stepfailed "code=$cscs_code" "message=$said"
			exit 0
		fi
	done
	[[ ${1:-} != keep ]] || return 0
	kill -KILL -- "-$pid" 2>/dev/null
	# The shell would tell of each killed child on its standard error.
	wait "$pid" 2>/dev/null
	exec {fd}<&-
	cscs_let_go=1
}

# cscs_missed_slurmctld WORDS: succeeds if srun, which asks for the job first, did not reach slurmctld then, as while
# that restarts. There is no step, and the next srun may get one.
cscs_missed_slurmctld() {
	[[ $1 == *'Unable to confirm allocation'*@('onnection '|'imed out'|'ontact slurm')* ]]
}

# cscs_begin_runner: true: it has shown life, and its srun is the caller's pid, with what it
# prints in fd. Else srun has ended, and cscs_code and said are how.
cscs_begin_runner() {
	local line part=''
	said=''
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
		if cscs_client || cscs_is_silent; then
			cscs_cancel_in_the_end
			exit 0
		fi
	done
}
