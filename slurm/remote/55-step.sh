# For a server with a uenv or container, serve becomes the srun of the server's own step. launch has
# set up the user's login environment before, on the bare node.
#
# In the step, the script inside.sh becomes the server. It starts no login shell, so the PATH of the
# view or of the image stays. In a container it needs sh and nothing else: no bash, no program and
# no home directory. So its functions are POSIX sh.

# cscs_become_step: becomes the srun of the server's step.
cscs_become_step() {
	local i srun shell args=()
	read -r cscs_user_umask < <(umask)
	umask 077
	{ IFS= read -r cscs_gres <"$cscs_dir/gres"; } 2>/dev/null
	# After the user's start-up files, srun need not be on the PATH.
	IFS= read -r srun <"$cscs_dir/srun"
	if [[ -n $cscs_environment ]]; then
		shell=(/bin/sh)
		cd /
		cscs_write_edf || cscs_fail "cannot write in $cscs_dir"
	else
		shell=("$BASH" --noprofile --norc -p)
		cd || cscs_fail "the home directory $HOME does not exist on ${HOSTNAME%%.*}"
	fi
	cscs_print_inside >"$cscs_dir/inside.sh" || cscs_fail "cannot write in $cscs_dir"
	args=(--jobid="$SLURM_JOB_ID" --nodelist="${SLURMD_NODENAME:-${HOSTNAME%%.*}}")
	[[ -z $cscs_gres ]] || args+=(--gres="$cscs_gres")
	for i in "${cscs_step_args[@]}"; do
		cscs_fill_in "$i"
		args+=("$REPLY")
	done
	# bash would read these files in the step, after the view or the image has set PATH (bash(1),
	# BASH_ENV).
	unset BASH_ENV ENV
	cscs_unset_presets
	umask "$cscs_user_umask"
	cscs_restore_variables
	# This process already leads its own session. setsid(1) would make another process, and the
	# runner watches this one.
	exec "$srun" "${cscs_srun_args[@]}" --immediate="$cscs_step_wait" "${args[@]}" "${shell[@]}" "$cscs_dir/inside.sh"
}

# cscs_find_edf: sets REPLY to the user's EDF for base_environment: an absolute path, or a name that
# the Container Engine looks up. Fails if it does not exist; the site can still know a name.
cscs_find_edf() {
	local dir dirs
	REPLY=$cscs_environment
	if [[ $REPLY == */* ]]; then
		REPLY=${REPLY/#\~\//$HOME/}
		[[ $REPLY == /* ]] || REPLY=$HOME/${REPLY#./}
		[[ -r $REPLY ]]
		return
	fi
	IFS=: read -ra dirs < <(printf '%s\n' "${EDF_PATH:-$HOME/.edf}")
	for dir in "${dirs[@]}"; do
		[[ ! -r $dir/$REPLY.toml ]] || return 0
	done
	return 1
}

# cscs_write_edf: writes the EDF of the session: the user's EDF, and a mount of the session's
# directory. An ordinary EDF mounts neither that nor the home directory.
cscs_write_edf() {
	local dir=$cscs_dir
	cscs_find_edf || printf 'cscs: error: there is no EDF %s in %s\n' "$cscs_environment" "${EDF_PATH:-$HOME/.edf}" >&2
	# TOML's basic strings need these escapes.
	REPLY=${REPLY//\\/\\\\} dir=${dir//\\/\\\\}
	printf 'base_environment = "%s"\nmounts = ["%s"]\n' "${REPLY//\"/\\\"}" "${dir//\"/\\\"}:${dir//\"/\\\"}" >"$cscs_dir/environment.toml"
}

# cscs_print_inside: prints the script inside.sh.
cscs_print_inside() {
	local i words=() where="on ${HOSTNAME%%.*}"
	[[ " ${cscs_step_args[*]}" != *' --uenv='* ]] || where="in the uenv on ${HOSTNAME%%.*}"
	[[ -z $cscs_environment ]] || where="in the container on ${HOSTNAME%%.*}"
	# bash is better than sh for the user's --setup, if the image has it.
	# shellcheck disable=SC2016 # for the container's shell to expand
	[[ -z $cscs_environment ]] ||
		printf '%s\n' '[ "$1" = bash ] || ! command -v bash >/dev/null 2>&1 || exec bash --noprofile --norc -p "$0" bash'
	declare -f cscs_fail cscs_is_kept cscs_is_incomplete cscs_name_incomplete cscs_begin_inside cscs_enter_workdir cscs_activate_venv \
		cscs_activate_whole_venv cscs_prefer_venv cscs_run_setup cscs_has_program cscs_provide cscs_become_server || return
	cscs_print_assignment '' cscs_dir "$cscs_dir"
	cscs_print_assignment '' cscs_where "$where"
	printf '%s\n' cscs_begin_inside "umask $cscs_user_umask"
	for i in "${!SLURM_@}" "${!SLURMD_@}" "${!SRUN_@}" "${!SQUEUE_@}" "${!SINFO_@}" "${!SCANCEL_@}" "${!SCONTROL_@}" \
		"${!SACCTMGR_@}" "${!SBATCH_@}" "${!SALLOC_@}" BASH_ENV ENV; do
		[[ ! -v $i ]] || cscs_belongs_to_step "$i" || cscs_print_assignment export "$i" "${!i}"
	done
	for i in "${cscs_unset[@]}"; do printf 'unset %s\n' "$i"; done
	cscs_print_assignment export PORT "$PORT"
	cscs_print_assignment export CSCS_SESSION "$cscs_id"
	[[ -z $cscs_workdir ]] || words+=(cscs_enter_workdir "${cscs_workdir/#\~/$HOME}")
	cscs_print_call "${words[@]}"
	words=(cscs_activate_venv)
	[[ -z $cscs_bootstrap ]] || words=(cscs_activate_whole_venv)
	if [[ -n $cscs_venv ]]; then cscs_print_call "${words[@]}" "${cscs_venv/#\~/$HOME}"; fi
	[[ -n $cscs_environment ]] || cscs_print_call cscs_prefer_venv "${PYTHONPATH:-}"
	for i in "${cscs_env[@]}"; do
		cscs_fill_in "$i"
		cscs_print_assignment export "${REPLY%%=*}" "${REPLY#*=}"
	done
	if [[ -z $cscs_environment && -s $cscs_dir/login-functions ]]; then
		# Not in POSIX mode, in which a function called exec is an error. No function may hide what
		# these commands call: in POSIX mode, none hides unset.
		# shellcheck disable=SC2016 # for the shell of the step to expand
		printf '%s\n' 'cscs_item=${POSIXLY_CORRECT-}' 'unset POSIXLY_CORRECT' 'shopt -s extglob'
		cscs_print_call . "$cscs_dir/login-functions"
		# shellcheck disable=SC2016 # likewise
		printf '%s\n' POSIXLY_CORRECT=y 'unset -f . eval exec exit export printf return set umask unset [' 'unset POSIXLY_CORRECT' \
			'[ -z "$cscs_item" ] || export POSIXLY_CORRECT="$cscs_item"'
	fi
	for i in "${cscs_setup[@]}"; do cscs_print_call cscs_run_setup "$i"; done
	if cscs_may_provide; then
		words=(/bin/sh)
		[[ -n $cscs_environment ]] || words=("$BASH" --noprofile --norc -p)
		cscs_print_call cscs_provide "${words[@]}"
		cscs_write_bootstrap "$where"
	fi
	if { ((${#cscs_setup[@]})) || cscs_may_provide; } && [[ -z $cscs_environment ]]; then cscs_print_call cscs_prefer_venv "${PYTHONPATH:-}"; fi
	words=(cscs_become_server)
	for i in "${cscs_argv[@]}"; do
		cscs_fill_in "$i"
		words+=("$REPLY")
	done
	cscs_print_call "${words[@]}"
}

# cscs_print_call WORD...: prints a command of sh with these words.
cscs_print_call() {
	local word quote=\'\\\'\'
	for word in "$@"; do printf "'%s' " "${word//\'/$quote}"; done
	printf '\n'
}

# cscs_print_assignment [export] NAME VALUE: prints an assignment of sh.
cscs_print_assignment() {
	local quote=\'\\\'\'
	printf "%s %s='%s'\n" "$1" "$2" "${3//\'/$quote}"
}

# From here on: POSIX sh. Each of these functions runs in the step, in the shell that the image has.

# cscs_begin_inside: reports that the step has started, and unsets the variables that Slurm has set
# for it.
cscs_begin_inside() {
	(umask 077 && printf '%d\n' "$$" >"$cscs_dir/inside")
	# shellcheck disable=SC2013 # names have no blanks
	for cscs_item in $(export -p | while IFS= read -r cscs_item; do
		cscs_item=${cscs_item#export }
		cscs_item=${cscs_item#declare -x }
		cscs_item=${cscs_item%%=*}
		case $cscs_item in
		*[!A-Z0-9_]*) ;;
		SLURM_* | SLURMD_* | SRUN_* | PMI_* | SBATCH_* | SALLOC_*) cscs_is_kept "$cscs_item" || printf '%s\n' "$cscs_item" ;;
		esac
	done); do
		unset "$cscs_item"
	done
}

# shellcheck disable=SC2154 # cscs_where is assigned where these functions run
cscs_enter_workdir() {
	CDPATH='' cd -- "$1" 2>/dev/null || cscs_fail "the work directory $1 does not exist $cscs_where"
}

cscs_activate_venv() {
	[ -r "$1/bin/activate" ] || cscs_fail "there is no virtual environment in $1 $cscs_where (no bin/activate)"
	if cscs_is_incomplete "$1"; then
		cscs_name_incomplete "$1"
		cscs_fail "$REPLY $cscs_where"
	fi
	# shellcheck disable=SC1091 # the user's own file
	. "$1/bin/activate" || cscs_fail "$1/bin/activate ended with status $?"
}

# cscs_activate_whole_venv DIRECTORY: activates the environment if it exists and is complete.
cscs_activate_whole_venv() {
	[ ! -r "$1/bin/activate" ] || cscs_is_incomplete "$1" || cscs_activate_venv "$1"
}

# cscs_provide SHELL...: lets that shell search for the server's program, and install it on
# --bootstrap (52-bootstrap.sh).
cscs_provide() {
	cscs_item=$("$@" "$cscs_dir/bootstrap.sh") || exit 97
	[ -z "$cscs_item" ] || cscs_activate_venv "$cscs_item"
}

# cscs_prefer_venv PYTHONPATH: the view of a uenv adds its site-packages to the login's PYTHONPATH,
# and Python searches that before the packages of an active virtual environment. This puts the
# virtual environment first.
cscs_prefer_venv() {
	[ -n "${VIRTUAL_ENV:-}" ] && [ "${PYTHONPATH:-}" != "$1" ] || return 0
	cscs_item=$("$VIRTUAL_ENV/bin/python" -c 'import site; print(site.getsitepackages()[0])' 2>/dev/null)
	case :$PYTHONPATH: in
	::* | *":$cscs_item:"*) ;;
	*) export PYTHONPATH="$cscs_item:$PYTHONPATH" ;;
	esac
}

# cscs_run_setup COMMAND: runs it in this shell, so that its exports stay.
cscs_run_setup() {
	eval "$1"
	cscs_item=$?
	case $cscs_item in
	0) ;;
	127) cscs_fail "${1%% *} of --setup \"$1\" was not found $cscs_where" ;;
	*) cscs_fail "--setup \"$1\" ended with status $cscs_item" ;;
	esac
}

# cscs_has_program NAME: succeeds if exec would find that program.
cscs_has_program() {
	case $1 in
	*/*)
		[ -f "$1" ] && [ -x "$1" ]
		return
		;;
	esac
	(
		IFS=:
		set -f
		for cscs_item in $PATH; do
			[ -f "${cscs_item:-.}/$1" ] && [ -x "${cscs_item:-.}/$1" ] && exit 0
		done
		exit 1
	)
}

cscs_become_server() {
	cscs_has_program "$1" || cscs_fail "$1 was not found $cscs_where (PATH=$PATH)"
	exec "$@"
}
