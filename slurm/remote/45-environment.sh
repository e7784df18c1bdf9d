# The environment of the server (invariant I12): what the user's interactive shell in the allocation
# would see, as salloc starts it (salloc(1), OUTPUT ENVIRONMENT VARIABLES; slurm.conf(5),
# use_interactive_step). The runner's step describes one task on one node. An srun or sbatch with
# these variables would lose its nodes, its tasks and its CPU binding.

# cscs_leave_login: unsets the variables of this login that do not belong to the job.
cscs_leave_login() {
	unset SSH_CLIENT SSH_CONNECTION SSH_TTY SSH_AUTH_SOCK XDG_RUNTIME_DIR XDG_SESSION_ID DBUS_SESSION_BUS_ADDRESS
}

# cscs_save_environment: writes the environment in which the login began into the session's
# directory. environ has all of it, for the batch script. presets has the variables that the site or
# the user has set for Slurm's commands, for where the job sets none. It also has those that cscs's
# shells do not have. umask has the user's.
cscs_save_environment() {
	local v
	printf '%s\n' "$cscs_user_umask" >"$cscs_dir/umask" &&
		(set -o posix && export -p) >"$cscs_dir/environ" &&
		for v in $(compgen -e); do
			[[ $v != @(SLURM|SLURMD|SBATCH|SALLOC|SRUN|SQUEUE|SINFO|SCANCEL|SCONTROL|SACCTMGR|SACCT|SSTAT|SPRIO)_* ]] ||
				printf '[[ -v %s ]] || export %s=%q\n' "$v" "$v" "${!v}" || return
		done >"$cscs_dir/presets" &&
		for v in "${!cscs_hidden[@]}"; do
			printf 'cscs_hidden[%s]=%q\n' "$v" "${cscs_hidden[$v]}" || return
		done >>"$cscs_dir/presets" &&
		cscs_save_functions
}

# cscs_save_functions: writes the user's exported functions as commands that define and export them.
# A batch script of Slurm's begins in /bin/sh, which can drop them.
cscs_save_functions() {
	local v name names=()
	while IFS= read -r -d '' v; do
		[[ $v == BASH_FUNC_*%%=* ]] || continue
		name=${v%%=*}
		name=${name#BASH_FUNC_} name=${name%??}
		names+=("$name")
		printf 'function %s %s\n' "$name" "${v#*=}" || return
	done >"$cscs_dir/functions" <"/proc/$$/environ"
	((${#names[@]} == 0)) || printf 'POSIXLY_CORRECT=${POSIXLY_CORRECT-y}\nexport -f --%s\n' "$(printf ' %q' "${names[@]}")" >>"$cscs_dir/functions"
}

# login: in the runner's step: becomes the login shell in which the server starts, with the user's
# umask. This shell has the session's mark from its start (cscs_find_processes).
cscs_login() {
	local fd signals=()
	cscs_dir=${BASH_SOURCE[0]%/*}
	{ IFS= read -r cscs_user_umask <"$cscs_dir/umask"; } 2>/dev/null || cscs_user_umask=0022
	cscs_set_environment
	type -P srun >"$cscs_dir/srun"
	# The server must not get the runner's descriptors. (This loop has no redirection, because bash
	# would keep the original among them.)
	for fd in /proc/self/fd/*; do
		fd=${fd##*/}
		((fd < 3 || fd == 255)) || eval "exec $fd>&-"
	done
	# Processes that a shell without job control starts in the background ignore these signals, and
	# only another program can undo that (bash(1), SIGNALS; coreutils 8.31).
	! env --default-signal=INT,QUIT true 2>/dev/null || signals=(env '--default-signal=INT,QUIT')
	umask "$cscs_user_umask"
	cscs_restore_variables
	# From here on the shell has the user's functions. The file turns on POSIX mode, in which none
	# hides exec.
	# shellcheck disable=SC1091 # made by cscs_save_functions
	[[ ! -s $cscs_dir/functions ]] || . "$cscs_dir/functions"
	exec "${signals[@]}" bash --login "$cscs_dir/remote.sh" launch
}

# cscs_set_environment: replaces the variables of this step by those of the allocation. The
# variables that Slurm sets for the job, the node and the GPUs stay.
cscs_set_environment() {
	local v cluster=${cscs_dir%/*}
	# The runner requests the job's GPUs for its step.
	[[ -z ${SLURM_STEP_GPUS:-} ]] || export SLURM_JOB_GPUS=${SLURM_JOB_GPUS:-$SLURM_STEP_GPUS}
	# In a step, 22.05 has the CPUs of the job in this variable alone.
	[[ -z ${SLURM_JOB_CPUS_PER_NODE_PACK_GROUP_0:-} ]] ||
		export SLURM_JOB_CPUS_PER_NODE=${SLURM_JOB_CPUS_PER_NODE:-$SLURM_JOB_CPUS_PER_NODE_PACK_GROUP_0}
	for v in "${!SLURM_@}" "${!SLURMD_@}" "${!SRUN_@}" "${!PMI_@}" "${!SBATCH_@}" "${!SALLOC_@}"; do
		cscs_is_kept "$v" || unset "$v"
	done
	# shellcheck disable=SC1091 # made by cscs_save_environment
	[[ ! -r $cscs_dir/presets ]] || . "$cscs_dir/presets"
	{ IFS= read -r cscs_info <"$cscs_dir/job"; } 2>/dev/null
	export SLURM_JOB_NAME=interactive SLURM_CLUSTER_NAME=${cluster##*/}
	cscs_export_field NodeList SLURM_JOB_NODELIST SLURM_NODELIST
	cscs_export_field NumNodes SLURM_JOB_NUM_NODES SLURM_NNODES
	cscs_export_field WorkDir SLURM_SUBMIT_DIR
	cscs_export_field TresPerTask SLURM_TRES_PER_TASK
	cscs_export_field AllocNode:Sid SLURM_SUBMIT_HOST
	export SLURM_SUBMIT_HOST=${SLURM_SUBMIT_HOST%%:*}
	cscs_export_request
	cscs_export_tasks
}

# cscs_is_kept VARIABLE: succeeds if Slurm sets it in a step as it does for salloc's shell. This is
# POSIX sh (55-step.sh).
cscs_is_kept() {
	case $1 in
	SLURM_CONF | SLURM_JOB_* | SLURM_JOBID | SLURM_CLUSTER_NAME | SLURMD_NODENAME) ;;
	SLURM_CPUS_ON_NODE | SLURM_GPUS_ON_NODE | SLURM_GTIDS | SLURM_LOCALID | SLURM_NODEID | SLURM_PROCID) ;;
	SLURM_STEPID | SLURM_STEP_ID | SLURM_STEP_NODELIST | SLURM_STEP_NUM_* | SLURM_STEP_TASKS_PER_NODE) ;;
	SLURM_TASK_PID | SLURM_TOPOLOGY_* | SLURM_OOM_KILL_STEP | SLURM_PRIO_PROCESS) ;;
	*) return 1 ;;
	esac
}

# cscs_belongs_to_step VARIABLE: succeeds if it differs between steps.
cscs_belongs_to_step() {
	cscs_is_kept "$1" && [[ $1 != SLURM_JOB_* && $1 != SLURM_JOBID && $1 != SLURM_CONF && $1 != SLURM_CLUSTER_NAME ]]
}

# cscs_export_field FIELD VARIABLE...: exports a field of scontrol's answer about the job.
cscs_export_field() {
	local value v
	value=" $cscs_info"
	[[ $value == *" $1="* ]] || return 0
	value=${value#*" $1="}
	value=${value%% *}
	for v in "${@:2}"; do export "$v=$value"; done
}

# cscs_export_request: exports the options of the request that salloc passes on to srun as
# variables: first the presets, then the options of the command line, each as --NAME=VALUE.
cscs_export_request() {
	local option name value preset=() v
	# salloc's presets come after sbatch's, so that they win (cscs_presets).
	for v in "${!SBATCH_@}" "${!SALLOC_@}"; do
		[[ $v == "${cscs_via/#*salloc/SBATCH}"_* || $v == "${cscs_via/#*sbatch/SALLOC}"_* ]] && continue
		name=${v#*_} name=${name//_/-} name=${name,,}
		preset+=("--${name/#mem-per-node/mem}=${!v}")
	done
	for option in "${preset[@]}" "${cscs_requested[@]}"; do
		name=${option%%=*} value=${option#*=}
		case $name in
		--ntasks) export SLURM_NTASKS=$value SLURM_NPROCS=$value ;;
		--cpus-per-task) export SLURM_CPUS_PER_TASK=$value ;;
		--gpus) export SLURM_GPUS=$value ;;
		--distribution) export SLURM_DISTRIBUTION=$value ;;
		--gpus-per-node | --gpus-per-socket | --gpus-per-task | --hint | --network | --threads-per-core | \
			--ntasks-per-core | --ntasks-per-gpu | --ntasks-per-node | --ntasks-per-socket)
			name=${name#--} name=${name//-/_}
			export "SLURM_${name^^}=$value"
			;;
		--mem | --mem-per-cpu | --mem-per-gpu)
			cscs_megabytes "$value"
			name=${name#--} name=${name//-/_}
			[[ $name != mem ]] || name=mem_per_node
			export "SLURM_${name^^}=$REPLY"
			;;
		esac
	done
}

# cscs_megabytes SIZE: sets REPLY to Slurm's size, with an optional unit (srun(1), --mem), in MiB.
cscs_megabytes() {
	local n=${1%%[!0-9]*}
	REPLY=$1
	[[ -n $n ]] || return 0
	case ${1#"$n"} in
	[Kk]*) REPLY=$(((10#$n + 1023) / 1024)) ;;
	[Gg]*) REPLY=$((10#$n * 1024)) ;;
	[Tt]*) REPLY=$((10#$n * 1048576)) ;;
	*) REPLY=$((10#$n)) ;;
	esac
}

# cscs_export_tasks: exports how many tasks Slurm counts with on each node, in Slurm's form
# "2(x3),1". Without a number of tasks, that is one for each CPU or group of CPUs. Slurm deals a
# number of tasks out to the nodes one at a time (_task_layout_block in Slurm's
# slurm_step_layout.c).
cscs_export_tasks() {
	local part cpus=() tasks=() i left dealt layout='' same
	# Only Slurm knows the layout that a request for threads implies.
	[[ -z ${SLURM_THREADS_PER_CORE:-}${SLURM_HINT:-} ]] || return 0
	for part in ${SLURM_JOB_CPUS_PER_NODE//,/ }; do
		[[ $part =~ ^([0-9]+)(\(x([0-9]+)\))?$ ]] || return 0
		for ((i = 0; i < ${BASH_REMATCH[3]:-1}; i++)); do cpus+=("${BASH_REMATCH[1]}") tasks+=(0); done
	done
	((${#cpus[@]})) || return 0
	if [[ ${SLURM_NTASKS_PER_NODE:-} == +([0-9]) ]]; then
		for i in "${!cpus[@]}"; do tasks[i]=$SLURM_NTASKS_PER_NODE; done
		export SLURM_NTASKS=${SLURM_NTASKS:-$((SLURM_NTASKS_PER_NODE * ${#cpus[@]}))}
		export SLURM_NPROCS=$SLURM_NTASKS
	elif [[ ${SLURM_NTASKS:-} == +([0-9]) ]]; then
		left=$SLURM_NTASKS
		while ((left > 0)); do
			dealt=''
			for i in "${!cpus[@]}"; do
				((left > 0 && tasks[i] < cpus[i])) || continue
				((++tasks[i], --left, dealt = 1))
			done
			[[ -n $dealt ]] || return 0 # more tasks than CPUs
		done
	else
		[[ ${SLURM_CPUS_PER_TASK:-1} == +([0-9]) ]] || return 0
		for i in "${!cpus[@]}"; do tasks[i]=$((cpus[i] / ${SLURM_CPUS_PER_TASK:-1})); done
	fi
	for ((i = 0; i < ${#tasks[@]}; i += same)); do
		for ((same = 1; i + same < ${#tasks[@]} && tasks[i + same] == tasks[i]; same++)); do :; done
		layout+=${layout:+,}${tasks[i]}
		((same == 1)) || layout+="(x$same)"
	done
	export SLURM_TASKS_PER_NODE=$layout
}
