# launch: becomes the server, in the user's login environment (this file is then
# run by bash --login). With a uenv or container, step does (55-step.sh).

# cscs_fail MESSAGE: what the user has to mend before the server can start.
cscs_fail() {
	(umask 077 && printf '%s\n' "$1" >"$cscs_dir/failure")
	exit 97
}

cscs_launch() {
	local i
	cscs_dir=${BASH_SOURCE[0]%/*}
	# The umask here is the user's, for the server.
	(umask 077 && printf '%d\n' "$$" >"$cscs_dir/launched")
	IFS= read -r PORT <"$cscs_dir/port"
	export PORT CSCS_SESSION=$cscs_id
	# The user's --setup runs Slurm's own commands.
	unset -f squeue sinfo scancel scontrol sacctmgr
	# A dead login's value of these would win over ours.
	unset "${cscs_unset[@]}"
	((${#cscs_step_args[@]} == 0)) || cscs_launch_step
	if [[ -n $cscs_workdir ]]; then
		CDPATH='' cd -- "${cscs_workdir/#\~/$HOME}" 2>/dev/null ||
			cscs_fail "the work directory $cscs_workdir is not there on ${HOSTNAME%%.*}"
	else
		cd || cscs_fail "the home directory $HOME is not there on ${HOSTNAME%%.*}"
	fi
	if [[ -n $cscs_venv ]]; then
		cscs_venv=${cscs_venv/#\~/$HOME}
		[[ -r $cscs_venv/bin/activate ]] ||
			cscs_fail "there is no virtual environment in $cscs_venv on ${HOSTNAME%%.*} (no bin/activate)"
		# shellcheck disable=SC1091 # the user's own file
		. "$cscs_venv/bin/activate" || cscs_fail "$cscs_venv/bin/activate ended with status $?"
	fi
	for i in "${cscs_env[@]}"; do
		cscs_place "$i"
		export "${REPLY?}"
	done
	for i in "${cscs_setup[@]}"; do
		cscs_setup_one "$i"
	done
	local argv=()
	for i in "${cscs_argv[@]}"; do
		cscs_place "$i"
		argv+=("$REPLY")
	done
	if ! type -P -- "${argv[0]}" >/dev/null; then
		cscs_missing "${argv[0]}" "is not to be found on ${HOSTNAME%%.*} (PATH=$PATH)"
	fi
	shopt -s execfail
	# shellcheck disable=SC2093 # only a failed exec goes on
	exec -- "${argv[@]}"
	cscs_fail "${argv[0]} cannot be run on ${HOSTNAME%%.*}"
}

# cscs_launch_step: hands the login environment to the step of a uenv or container. --setup may call the
# functions of the login shell.
cscs_launch_step() {
	local name
	for name in $(compgen -A function); do
		[[ $name == cscs_* ]] || declare -f "$name"
	done >"$cscs_dir/login-functions"
	exec bash --noprofile --norc -p "$cscs_dir/remote.sh" step
}

# cscs_place TEXT: REPLY is the text with {port} and {dir} replaced.
cscs_place() {
	REPLY=${1//\{port\}/$PORT}
	REPLY=${REPLY//\{dir\}/$cscs_dir}
}

# cscs_setup_one COMMAND: in this shell, so that what it exports is kept.
cscs_setup_one() {
	local code
	eval "$1"
	code=$?
	((code == 0)) && return
	if ((code == 127)); then
		cscs_missing "${1%% *}" "of --setup \"$1\" is not to be found on ${HOSTNAME%%.*}"
	fi
	cscs_fail "--setup \"$1\" ended with status $code"
}

# cscs_missing COMMAND TEXT: many sites' and users' start-up files define conda,
# module and the like only for interactive shells; then the fix is another one.
cscs_missing() {
	local found
	# /etc/profile and its like are for login shells, ~/.bashrc for the others.
	found=$(bash --login -i -c "type -t -- $(printf %q "$1")" 2>/dev/null </dev/null) ||
		found=$(bash -i -c "type -t -- $(printf %q "$1")" 2>/dev/null </dev/null)
	case ${found##*$'\n'} in
	function | alias)
		cscs_fail "$1 $2: only your interactive shells know it (a ${found##*$'\n'} of ~/.bashrc): load what defines it with --setup, or move it to ~/.bash_profile"
		;;
	file) cscs_fail "$1 $2: only your interactive shells have it on their PATH: set PATH in ~/.bash_profile, or with --setup" ;;
	*) cscs_fail "$1 $2" ;;
	esac
}
