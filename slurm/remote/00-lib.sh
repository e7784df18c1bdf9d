# The remote half of cscs, for the login node and the compute node.
#
# These files are joined in the order of their names into one script, which the
# client sends over standard input of an SSH exec; nothing is installed. Before
# it stand assignments of the variables cscs_*, quoted by the client (see
# slurm/payload.go); after it, the call of cscs_main.
#
# Bash 4.4 (SLES 15) is enough; no Python, no awk. What bash can do itself is
# not forked for: these loops run for as long as the session does.
#
# A subshell sets variables for itself here, and on purpose:
# shellcheck shell=bash disable=SC2030,SC2031

# Sites preset these for people (SQUEUE_FORMAT, SLURM_TIME_FORMAT=relative, …);
# they would change what Slurm's commands print for us.
cscs_unset_presets() {
	unset "${!SQUEUE_@}" "${!SINFO_@}" "${!SCANCEL_@}" SLURM_BITSTR_LEN CDPATH
	# Every time that Slurm prints is then in seconds since 1970: the cluster's time
	# zone does not matter.
	export SLURM_TIME_FORMAT=%s
}
cscs_unset_presets

# What the client sets; which of them depends on the verb.
: "${cscs_nonce:=}" "${cscs_id:=}" "${cscs_port:=0}" "${cscs_job:=}" "${cscs_node:=}" "${cscs_step:=}" "${cscs_client_name:=}"
: "${cscs_via:=auto}" "${cscs_unattended:=}" "${cscs_deadline:=}" "${cscs_granted:=}"
: "${cscs_workdir:=}" "${cscs_venv:=}" "${cscs_allow_wide:=0}" "${cscs_forward_new:=0}" "${cscs_grace:=10}" "${cscs_kill:=}" "${cscs_lease:=0}" "${cscs_from:=0}" "${cscs_every:=1}"
: "${cscs_door:=}" "${cscs_guest:=}" "${cscs_person:=}" "${cscs_host_key:=}" "${cscs_user_key:=}"
cscs_script=${cscs_script:-} # by the bootstrap: all of this
cscs_salloc_args=("${cscs_salloc_args[@]}") cscs_step_args=("${cscs_step_args[@]}") cscs_reads=("${cscs_reads[@]}") cscs_srun_args=("${cscs_srun_args[@]}")
cscs_argv=("${cscs_argv[@]}") cscs_env=("${cscs_env[@]}") cscs_unset=("${cscs_unset[@]}") cscs_setup=("${cscs_setup[@]}")
declare -A cscs_files

# Whatever the environment says of these.
cscs_salloc='' cscs_batched='' cscs_detaching='' cscs_let_go='' cscs_runner_step='' cscs_learnt=''
cscs_unwritten='' cscs_signalled='' cscs_leased='' cscs_cause='' cscs_user_umask=0022 cscs_words='' cscs_info='' cscs_gres=''

cscs_tab=$'\t'
cscs_name=cscs-$cscs_id

# cscs_say KIND [KEY=VALUE]...: one line to the client. Fields are separated by
# tabs; no field may hold a tab, a newline or another control character.
cscs_say() {
	cscs_line "$@"
	printf '%s\n' "$REPLY"
}

cscs_line() {
	local IFS=$cscs_tab f out=()
	for f in "$@"; do out+=("${f//[[:cntrl:]]/ }"); done
	REPLY="${out[*]}"
}

# cscs_event KIND [KEY=VALUE]...: one line to the session's event file. One
# open-append-close each, so that no reader on another host meets half a line.
cscs_event() {
	cscs_line "$@"
	printf '%s\n' "$REPLY" >>"$cscs_dir/events"
}

# cscs_die KIND MESSAGE [KEY=VALUE]...: tells the client why this verb ends.
cscs_die() {
	cscs_say error "kind=$1" "message=$2" "${@:3}"
	exit 1
}

# cscs_nap SECONDS: waits without a process of its own. (The descriptor is a
# pipe that nobody writes to.)
cscs_nap() {
	[[ -n ${cscs_napfd:-} ]] || exec {cscs_napfd}<> <(:)
	local _
	read -r -t "$1" -u "$cscs_napfd" _
	return 0
}

# cscs_uptime: REPLY is the milliseconds since this host booted: a clock that nobody
# sets (proc(5), /proc/uptime).
cscs_uptime() {
	read -r REPLY _ </proc/uptime
	REPLY=$((10#${REPLY/./} * 10))
}

# cscs_have_slurm: Slurm's commands are found, if need be where a login shell
# would find them.
cscs_have_slurm() {
	command -v squeue >/dev/null && return
	# shellcheck disable=SC1091 # the site's own file
	. /etc/profile >/dev/null 2>&1
	cscs_unset_presets
	command -v squeue >/dev/null && return
	cscs_die noslurm "squeue and salloc are not to be found here (PATH=$PATH)"
}

# cscs_clustername: REPLY is Slurm's ClusterName; $HOME may be shared by
# clusters. Asked of the controller only when no configuration can be read.
cscs_clustername() {
	local f line
	for f in "${SLURM_CONF:-}" /etc/slurm/slurm.conf /run/slurm/conf/slurm.conf; do
		[[ -r $f ]] || continue
		while IFS= read -r line; do
			if [[ ${line,,} =~ ^[[:space:]]*clustername[[:space:]]*=[[:space:]]*([a-z0-9_][a-z0-9._-]*) ]]; then
				REPLY=${BASH_REMATCH[1]}
				return
			fi
		done <"$f"
	done
	REPLY=cluster
	while IFS= read -r line; do
		[[ $line =~ ^ClusterName[[:space:]]*=[[:space:]]*([A-Za-z0-9_][A-Za-z0-9._-]*) ]] && REPLY=${BASH_REMATCH[1],,}
	done < <(scontrol show config 2>/dev/null)
}

# cscs_see_home KIND: ends the verb with an error of that kind if the home directory is not
# there: a login node can lose a file system that all others have.
cscs_see_home() {
	[[ -d $HOME ]] || cscs_die "$1" "the home directory $HOME is not there on ${HOSTNAME%%.*}"
}

# cscs_find_dir: cscs_dir is the session's directory, there or not.
cscs_find_dir() {
	cscs_clustername
	cscs_dir=$HOME/.cscs/$REPLY/$cscs_id
}

# cscs_me: the user's name by the system, not by a variable that anybody set.
cscs_me() {
	[[ -n ${cscs_user:-} ]] || cscs_user=$(id -un)
}

# cscs_is_id TEXT: succeeds if TEXT has the form of a session ID: eight characters of
# lower-case base32 (RFC 4648, section 6). The characters are listed because a range
# such as a-z depends on the locale. An ID becomes a path and a job's name.
cscs_is_id() { [[ ${#1} == 8 && $1 != *[!abcdefghijklmnopqrstuvwxyz234567]* ]]; }

# cscs_is_job TEXT: succeeds if TEXT is the number of a plain job: arrays and parts of
# heterogeneous jobs belong to no session.
cscs_is_job() { [[ ${#1} -gt 0 && ${#1} -lt 12 && $1 != *[!0123456789]* ]]; }

# cscs_cancel JOB [OPTION]: runs scancel(1) on one job. Without a job's number, scancel
# would be told of something else.
cscs_cancel() { cscs_is_job "$1" && scancel ${2:+"$2"} "$1" </dev/null 2>/dev/null; }

# cscs_make_dir: makes the directory cscs_dir with its mark; prints an error to standard
# error. A directory that exists is never taken over: it may be the user's.
cscs_make_dir() {
	mkdir -p "${cscs_dir%/*}" && mkdir "$cscs_dir" || return
	printf 'cscs %s\n' "${cscs_dir##*/}" >"$cscs_dir/mark" || {
		rm -f "$cscs_dir/mark"
		rmdir "$cscs_dir"
		return 1
	}
}

# cscs_is_ours DIRECTORY: succeeds if cscs_make_dir has made the directory. Its name alone
# proves nothing (invariant I11).
cscs_is_ours() {
	local line=''
	[[ -d $1 && ! -L $1 && -O $1 ]] || return
	{ IFS= read -r line <"$1/mark"; } 2>/dev/null
	[[ $line == "cscs ${1##*/}" ]]
}

# cscs_remove_dir: removes the session's directory, the mark last, and the directories
# above it that are empty then.
cscs_remove_dir() {
	local tries
	if cscs_is_ours "$cscs_dir"; then
		for tries in 1 2; do
			find "$cscs_dir" -mindepth 1 -maxdepth 1 ! -name mark -exec rm -rf {} +
			rm -f "$cscs_dir/mark"
			! rmdir "$cscs_dir" || break
			# A process that the server has left writes while this removes.
			((tries == 2)) || printf 'cscs %s\n' "${cscs_dir##*/}" >"$cscs_dir/mark"
			cscs_nap 0.5
		done 2>/dev/null
	fi
	rmdir "${cscs_dir%/*}" "$HOME/.cscs" 2>/dev/null
	return 0
}
