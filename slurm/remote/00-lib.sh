# The remote half of cscs, for the login node and the compute node.
#
# The files of this directory, joined in the order of their names, are one script. The client sends
# it over standard input of an SSH exec; nothing is installed. Assignments of the variables cscs_*,
# quoted by the client (see slurm/payload.go), come before it, and the call of cscs_main after it.
#
# Bash 4.4 (SLES 15) is enough; no Python, no awk. These loops run as long as the session, so the
# script starts no process for what bash can do.
#
# Subshells here set variables for themselves on purpose:
# shellcheck shell=bash disable=SC2030,SC2031

# Every shell that reads this is privileged (bash(1), -p): it takes no function, option or start-up
# file from the environment, and passes all of them on.

# These variables would change how this shell reads files and commands. The server gets them
# unchanged.
declare -A cscs_hidden=()
for cscs_item in POSIXLY_CORRECT TMOUT GLOBIGNORE EXECIGNORE; do
	[[ ! -v $cscs_item ]] || cscs_hidden[$cscs_item]=${!cscs_item}
done
unset POSIXLY_CORRECT TMOUT GLOBIGNORE EXECIGNORE
# If these were exported, every other bash would take this shell's options.
export -n SHELLOPTS BASHOPTS

# cscs_restore_variables: restores the hidden variables, for the last command of this shell.
cscs_restore_variables() {
	for cscs_item in "${!cscs_hidden[@]}"; do export "$cscs_item=${cscs_hidden[$cscs_item]}"; done
}

# Variables of the environment stand for options of Slurm's commands (squeue(1), srun(1) …, INPUT
# ENVIRONMENT VARIABLES). A site or a user presets them for interactive work, and an allocation for
# its own steps. They must not change what a command of cscs asks, prints or starts. So each command
# runs without them in its own process, and the server gets them unchanged.

# By these variables, Slurm's commands find and trust slurmctld.
cscs_controller=' SLURM_CONF SLURM_CONF_SERVER SLURM_JWT SLURM_SACK_SOCKET SLURM_SACK_KEY SLURM_SACK_JWKS '

# These presets of salloc and sbatch, without SALLOC_ or SBATCH_, apply to a session: what the job
# is made of, where it runs and who pays. The others are unset. Some would hide the job from cscs
# (CLUSTERS, ARRAY_INX, JOB_NAME, IMMEDIATE, WAIT, DEBUG). Some would run or write something else
# (CONTAINER…, EXPORT, GET_USER_ENV, INPUT, OUTPUT, ERROR, OPEN_MODE, REQUEUE). Some would end the
# runner or leave the job without it (SIGNAL, NO_KILL). Some have no use here (BELL, KILL_CMD).
cscs_lasting_presets=' ACCOUNT ACCTG_FREQ BATCH BURST_BUFFER CLUSTER_CONSTRAINT CONSOLIDATE_SEGMENTS CONSTRAINT CORE_SPEC
	CPUS_PER_GPU CPU_FREQ_REQ DELAY_BOOT DISTRIBUTION EXCLUSIVE GPUS GPUS_PER_NODE GPUS_PER_SOCKET GPUS_PER_TASK GPU_BIND GPU_FREQ
	GRES GRES_FLAGS HINT MEM_BIND MEM_PER_CPU MEM_PER_GPU MEM_PER_NODE NETWORK OVERCOMMIT PARTITION POWER PROFILE QOS REQ_SWITCH
	RESERVATION SEGMENT_SIZE SPREAD_JOB SPREAD_SEGMENTS THREADS_PER_CORE THREAD_SPEC TIMELIMIT TRES_BIND TRES_PER_TASK
	USE_MIN_NODES WAIT4SWITCH WAIT_ALL_NODES WCKEY '
cscs_lasting_presets=${cscs_lasting_presets//[[:space:]]/ }

# cscs_unset_presets [VARIABLE]...: unsets every variable that Slurm's commands read, except
# cscs_controller's and these.
cscs_unset_presets() {
	local v
	for v in "${!SLURM_@}" "${!SLURMD_@}" "${!SRUN_@}" "${!SQUEUE_@}" "${!SINFO_@}" "${!SCANCEL_@}" "${!SCONTROL_@}" "${!SACCTMGR_@}"; do
		[[ "$cscs_controller$* " == *" $v "* ]] || unset "$v"
	done
}

# cscs_unset_request_presets: does the same for salloc and sbatch, and keeps the lasting presets.
# Both commands also read two of srun's variables that describe the job.
cscs_unset_request_presets() {
	local v
	cscs_unset_presets SLURM_HINT SLURM_HOSTFILE
	for v in "${!SALLOC_@}" "${!SBATCH_@}"; do
		[[ $cscs_lasting_presets == *" ${v#*_} "* ]] || unset "$v"
	done
}

# cscs_exec_query COMMAND...: becomes a command that asks Slurm. The command prints every time in
# seconds since 1970, so the cluster's time zone does not matter. It shows jobs of hidden partitions
# (slurm.conf(5), Hidden), because a job that is not shown counts as gone.
cscs_exec_query() {
	cscs_unset_presets
	export SLURM_TIME_FORMAT=%s SQUEUE_ALL=1 SCONTROL_ALL=1 SINFO_ALL=1
	exec "$@"
}
# In a subshell such as $(…), a call of cscs_exec_query needs no second one.
squeue() (cscs_exec_query squeue "$@")
sinfo() (cscs_exec_query sinfo "$@")
scancel() (cscs_exec_query scancel "$@")
scontrol() (cscs_exec_query scontrol "$@")
sacctmgr() (cscs_exec_query sacctmgr "$@")

# The client sets these; which of them depends on the verb.
: "${cscs_nonce:=}" "${cscs_id:=}" "${cscs_port:=0}" "${cscs_wish:=0}" "${cscs_job:=}" "${cscs_node:=}" "${cscs_step:=}" "${cscs_client_name:=}"
: "${cscs_via:=auto}" "${cscs_unattended:=}" "${cscs_deadline:=}" "${cscs_granted:=}"
: "${cscs_workdir:=}" "${cscs_venv:=}" "${cscs_environment:=}" "${cscs_package:=}" "${cscs_program:=}" "${cscs_bootstrap:=}" "${cscs_allow_wide:=0}" "${cscs_forward_new:=0}" "${cscs_grace:=10}" "${cscs_kill:=}" "${cscs_lease:=0}" "${cscs_from:=0}" "${cscs_every:=1}"
: "${cscs_door:=}" "${cscs_guest:=}" "${cscs_person:=}" "${cscs_host_key:=}" "${cscs_user_key:=}"
cscs_script=${script:-} # the bootstrap sets it to this script
cscs_salloc_args=("${cscs_salloc_args[@]}") cscs_requested=("${cscs_requested[@]}") cscs_step_args=("${cscs_step_args[@]}") cscs_reads=("${cscs_reads[@]}") cscs_srun_args=("${cscs_srun_args[@]}")
cscs_argv=("${cscs_argv[@]}") cscs_env=("${cscs_env[@]}") cscs_unset=("${cscs_unset[@]}") cscs_setup=("${cscs_setup[@]}")
cscs_files=("${cscs_files[@]}")

# The environment must not set these.
cscs_salloc='' cscs_batched='' cscs_asking='' cscs_detaching='' cscs_let_go='' cscs_step_asks=0 cscs_runner_step='' cscs_info_job=''
cscs_unwritten='' cscs_signalled='' cscs_leased='' cscs_cause='' cscs_user_umask=0022 cscs_words='' cscs_info='' cscs_gres='' cscs_offer=() cscs_shown_jobs='' cscs_cancelled_jobs=''

cscs_tab=$'\t'
cscs_name=cscs-$cscs_id

# cscs_say KIND [KEY=VALUE]...: prints one line for the client. Tabs separate the fields; no field
# may contain a tab, a newline or another control character.
cscs_say() {
	cscs_format_line "$@"
	printf '%s\n' "$REPLY"
}

# cscs_format_line KIND [KEY=VALUE]...: sets REPLY to that line.
cscs_format_line() {
	local IFS=$cscs_tab f out=()
	for f in "$@"; do out+=("${f//[[:cntrl:]]/ }"); done
	REPLY="${out[*]}"
}

# cscs_event KIND [KEY=VALUE]...: appends one line to the session's event file. Each event is one
# open, append and close, so that no reader on another host gets half a line.
cscs_event() {
	cscs_format_line "$@"
	printf '%s\n' "$REPLY" >>"$cscs_dir/events"
}

# cscs_die KIND MESSAGE [KEY=VALUE]...: reports to the client why this verb ends, and ends it.
cscs_die() {
	cscs_say error "kind=$1" "message=$2" "${@:3}"
	exit 1
}

# cscs_nap SECONDS: waits without a process of its own. It reads from a pipe that has no writer.
cscs_nap() {
	[[ -n ${cscs_napfd:-} ]] || exec {cscs_napfd}<> <(:)
	local _
	read -r -t "$1" -u "$cscs_napfd" _
	return 0
}

# cscs_uptime: sets REPLY to the milliseconds since this host booted. No process sets this clock
# (proc(5), /proc/uptime).
cscs_uptime() {
	read -r REPLY _ </proc/uptime
	REPLY=$((10#${REPLY/./} * 10))
}

# cscs_find_slurm: ends the verb unless Slurm's commands are found, if necessary where a login shell
# finds them.
cscs_find_slurm() {
	type -P squeue >/dev/null && return
	# Take only the variables of the site's file: it can define functions, and change options and
	# the umask.
	# shellcheck disable=SC1091
	eval "$(
		. /etc/profile >/dev/null 2>&1 </dev/null
		set -o posix
		export -p
	)"
	type -P squeue >/dev/null && return
	cscs_take_login_path
	type -P squeue >/dev/null && return
	cscs_die noslurm "squeue and salloc were not found here (PATH=$PATH)"
}

# cscs_take_login_path: takes the variables by which commands are found from the user's login shell,
# whose start-up files can contain module load slurm.
cscs_take_login_path() {
	local shell=bash said
	[[ ${SHELL:-} != */@(zsh|ksh) ]] || shell=$SHELL
	# The start-up files can print.
	# shellcheck disable=SC2016 # for the login shell to expand
	IFS= read -r -d '' -t 6 said < <(
		exec timeout 5 "$shell" -l -c '/usr/bin/env printf "\036%s" "$PATH" "${LD_LIBRARY_PATH-}" "${SLURM_CONF-}"; /usr/bin/env printf "\036\0"' 2>/dev/null </dev/null
	)
	[[ $said == *$'\036'*$'\036'*$'\036'*$'\036' ]] || return 0
	said=${said#*$'\036'}
	export PATH="${said%%$'\036'*}"
	said=${said#*$'\036'}
	[[ $said == $'\036'* ]] || export LD_LIBRARY_PATH="${said%%$'\036'*}"
	said=${said#*$'\036'}
	[[ $said == $'\036' ]] || export SLURM_CONF="${said%%$'\036'*}"
}

# cscs_clustername: sets REPLY to Slurm's ClusterName, because clusters can share $HOME. It asks
# slurmctld only if no readable configuration has the name. Fails if slurmctld does not report it.
cscs_clustername() {
	local f line nap
	for f in "${SLURM_CONF:-}" /etc/slurm/slurm.conf /run/slurm/conf/slurm.conf; do
		[[ -r $f ]] || continue
		while IFS= read -r line; do
			if [[ ${line,,} =~ ^[[:space:]]*clustername[[:space:]]*=[[:space:]]*([a-z0-9_][a-z0-9._-]*) ]]; then
				REPLY=${BASH_REMATCH[1]}
				return
			fi
		done <"$f"
	done
	for nap in 0.5 1 2 0; do
		while IFS= read -r line; do
			[[ $line =~ ^ClusterName[[:space:]]*=[[:space:]]*([A-Za-z0-9_][A-Za-z0-9._-]*) ]] || continue
			REPLY=${BASH_REMATCH[1],,}
			return
		done < <(scontrol show config 2>/dev/null)
		cscs_nap "$nap"
	done
	return 1
}

# cscs_check_home KIND: ends the verb with an error of that kind if the home directory is missing. A
# login node can lose a file system that all others have.
cscs_check_home() {
	[[ -d $HOME ]] || cscs_die "$1" "the home directory $HOME does not exist on ${HOSTNAME%%.*}"
}

# cscs_find_dir: sets cscs_dir to the session's directory, which need not exist. Ends the verb if
# Slurm does not report the cluster's name: another directory would be another session's.
cscs_find_dir() {
	cscs_clustername || cscs_die slurm "Slurm does not report the name of this cluster (scontrol show config)"
	cscs_dir=$HOME/.cscs/$REPLY/$cscs_id
}

# cscs_find_user: sets cscs_user to the user's name from the system, not from a variable that the
# user can set.
cscs_find_user() {
	[[ -n ${cscs_user:-} ]] || cscs_user=$(id -un)
}

# cscs_is_id TEXT: succeeds if TEXT has the form of a session ID: eight characters of lower-case
# base32 (RFC 4648, section 6). The characters are listed because a range such as a-z depends on the
# locale. An ID becomes a path and a job's name.
cscs_is_id() { [[ ${#1} == 8 && $1 != *[!abcdefghijklmnopqrstuvwxyz234567]* ]]; }

# cscs_is_job TEXT: succeeds if TEXT is the number of a plain job. Arrays and parts of heterogeneous
# jobs belong to no session.
cscs_is_job() { [[ ${#1} -gt 0 && ${#1} -lt 12 && $1 != *[!0123456789]* ]]; }

# cscs_read_stat PID: fills the caller's array stat with the fields of /proc/PID/stat behind the
# name, which can contain any character (proc(5)). Fails if there is no such process. It starts no
# process, because it is called for many processes in quick succession.
cscs_read_stat() {
	local line
	{ IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return
	# shellcheck disable=SC2206 # numbers and a letter
	stat=(${line##*) })
}

# cscs_holds_nodes TEXT: succeeds if TEXT, from scontrol show job, describes a job that has its
# nodes, running or stopped (scontrol(1), JOB STATE CODES).
cscs_holds_nodes() { [[ $1 == *' JobState='@(CONFIGURING|RUNNING|COMPLETING|SUSPENDED|STOPPED|SIGNALING|STAGE_OUT|RESIZING)' '* ]]; }

# cscs_cancel JOB [OPTION]: runs scancel(1) on one job. Without a job's number, scancel would select
# other jobs. With an option, scancel asks for all jobs first, in three RPCs; with --ctld it takes
# one (24.11).
cscs_cancel() {
	cscs_is_job "$1" || return
	cscs_cancelled_jobs+=" $1 "
	scancel ${2:+--ctld "$2"} "$1" </dev/null 2>/dev/null
}

# cscs_make_dir: makes the directory cscs_dir with its mark, and prints an error to standard error.
# It never takes over a directory that exists, because that can be the user's.
cscs_make_dir() {
	cscs_make_parents && cscs_make_own_dir && return
	# Another session that ended can have removed the directories above in the meantime.
	cscs_make_parents && cscs_make_own_dir && return
	cscs_remove_parents
	return 1
}

# cscs_make_own_dir: makes the directory cscs_dir itself; removes it again if the mark cannot be
# written.
cscs_make_own_dir() {
	# The umask has no effect in a home with a default ACL (acl(5)).
	mkdir -m 700 "$cscs_dir" || return
	! cscs_write_mark || return 0
	rm -f "$cscs_dir/mark"
	rmdir "$cscs_dir"
	return 1
}

# cscs_make_parents: makes the missing directories above cscs_dir, each with a mark. A directory of
# the user's stays, even if it is empty.
cscs_make_parents() {
	local dir
	for dir in "$HOME/.cscs" "${cscs_dir%/*}"; do
		[[ ! -d $dir ]] || continue
		if mkdir -m 700 "$dir"; then
			: >"$dir/$cscs_parent_mark" || {
				rmdir "$dir"
				return 1
			}
		elif [[ ! -d $dir ]]; then # another session can make it at the same moment
			return 1
		fi
	done
}
cscs_parent_mark=.made-by-cscs

# cscs_remove_parents: removes the directories above cscs_dir that cscs_make_parents has made and
# that are otherwise empty.
cscs_remove_parents() {
	local dir
	for dir in "${cscs_dir%/*}" "$HOME/.cscs"; do
		cscs_holds_only "$dir" "$cscs_parent_mark" || return 0
		rm -f "$dir/$cscs_parent_mark"
		# Another session can begin at the same moment.
		rmdir "$dir" || : >"$dir/$cscs_parent_mark"
	done 2>/dev/null
	return 0
}

# cscs_holds_only DIRECTORY NAME: succeeds if the directory contains that file and nothing else.
cscs_holds_only() {
	local f
	for f in "$1"/* "$1"/.[!.]* "$1"/..?*; do
		[[ $f == "$1/$2" || ! -e $f && ! -L $f ]] || return 1
	done
	[[ -f $1/$2 ]]
}

# cscs_check_parents: ends the verb with an error if a path above cscs_dir is not a directory, or if
# other users can write in that directory: one of them could replace our script.
cscs_check_parents() {
	local dir mode
	for dir in "$HOME/.cscs" "${cscs_dir%/*}"; do
		if [[ ! -d $dir && (-e $dir || -L $dir) ]]; then
			cscs_die nodir "$dir is not a directory on ${HOSTNAME%%.*}" "path=$dir"
		fi
		# With an ACL, the mode of the group is the maximum that the ACL grants (acl(5)).
		mode=$(stat -L -c %a "$dir" 2>/dev/null) || continue
		(((8#$mode & 8#22) == 0)) || cscs_die exposed "other users can write in $dir on ${HOSTNAME%%.*}" "path=$dir"
	done
}

cscs_write_mark() { printf 'cscs %s\n' "${cscs_dir##*/}" >"$cscs_dir/mark"; }

# cscs_is_ours DIRECTORY: succeeds if cscs_make_dir has made the directory. Its name alone proves
# nothing (invariant I11).
cscs_is_ours() {
	local line=''
	[[ -d $1 && ! -L $1 && -O $1 ]] || return
	{ IFS= read -r line <"$1/mark"; } 2>/dev/null
	[[ $line == "cscs ${1##*/}" ]]
}

# cscs_remove_dir: removes the session's directory, the mark last. It also removes the directories
# above that sessions have made and that are empty then.
cscs_remove_dir() {
	local nap f files
	cscs_is_ours "$cscs_dir" || return 0
	for nap in 0.5 1 0; do
		files=()
		for f in "$cscs_dir"/* "$cscs_dir"/.[!.]* "$cscs_dir"/..?*; do
			[[ $f == "$cscs_dir/mark" ]] || files+=("$f")
		done
		rm -rf "${files[@]}"
		rm -f "$cscs_dir/mark"
		if rmdir "$cscs_dir"; then
			cscs_remove_parents
			return 0
		fi
		# A process that the server left can write at the same time. The directory keeps its mark.
		cscs_write_mark
		cscs_nap "$nap"
	done 2>/dev/null
	return 0
}
