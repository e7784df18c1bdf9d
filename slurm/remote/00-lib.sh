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

# Everything made here is the user's alone.
umask 077

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
: "${cscs_via:=auto}" "${cscs_left:=}" "${cscs_deadline:=}" "${cscs_granted:=}"
: "${cscs_workdir:=}" "${cscs_venv:=}" "${cscs_allow_wide:=0}" "${cscs_forward_new:=0}" "${cscs_grace:=10}" "${cscs_kill:=}" "${cscs_lease:=0}" "${cscs_from:=0}" "${cscs_every:=1}"
: "${cscs_door:=}" "${cscs_guest:=}" "${cscs_person:=}" "${cscs_host_key:=}" "${cscs_user_key:=}"
cscs_script=${cscs_script:-} # by the bootstrap: all of this
cscs_salloc_args=("${cscs_salloc_args[@]}") cscs_step_args=("${cscs_step_args[@]}") cscs_reads=("${cscs_reads[@]}") cscs_srun_args=("${cscs_srun_args[@]}")
cscs_argv=("${cscs_argv[@]}") cscs_env=("${cscs_env[@]}") cscs_unset=("${cscs_unset[@]}") cscs_setup=("${cscs_setup[@]}")
declare -A cscs_files

# Whatever the environment says of these.
cscs_salloc='' cscs_batched='' cscs_detaching='' cscs_let_go='' cscs_runner_step='' cscs_learnt=''

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
			if [[ ${line,,} =~ ^[[:space:]]*clustername[[:space:]]*=[[:space:]]*([a-z0-9._-]+) ]]; then
				REPLY=${BASH_REMATCH[1]}
				return
			fi
		done <"$f"
	done
	REPLY=cluster
	while IFS= read -r line; do
		[[ $line =~ ^ClusterName[[:space:]]*=[[:space:]]*([A-Za-z0-9._-]+) ]] && REPLY=${BASH_REMATCH[1],,}
	done < <(scontrol show config 2>/dev/null)
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

# cscs_remove_dir: the session's directory, and those above it that are empty then.
cscs_remove_dir() {
	# A straggler of the server's may write while we remove.
	rm -rf "$cscs_dir" 2>/dev/null || {
		cscs_nap 0.5
		rm -rf "$cscs_dir"
	}
	rmdir "${cscs_dir%/*}" "$HOME/.cscs" 2>/dev/null
	return 0
}
