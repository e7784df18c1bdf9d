# serve: becomes the server, in the environment that launch (00-launch.sh) has prepared, or reports
# why it cannot. This privileged shell takes no function of the user's, and passes them on.

# cscs_fail MESSAGE: records what the user has to correct before the server can start, and exits.
cscs_fail() {
	(umask 077 && printf '%s\n' "$1" >"$cscs_dir/failure")
	exit 97
}

# cscs_serve PORT_KEPT [PROBLEM [DETAIL]...]: gets the arguments of cscs_serve_as. PORT_KEPT is set
# if the login shell could not set PORT.
cscs_serve() {
	local i argv=()
	cscs_dir=${BASH_SOURCE[0]%/*}
	# After set -a, the login shell has exported all of its variables, ours too.
	export -n "${!cscs_@}"
	# Processes that began before are not the server's (cscs_find_server).
	cscs_uptime
	(umask 077 && printf '%s\n' "$REPLY" >"$cscs_dir/served")
	cscs_listen=$(<"$cscs_dir/port")
	[[ -z $1 ]] || export PORT="$cscs_listen"
	shift
	[[ ! -e $cscs_dir/expanded ]] || cscs_read_launch <"$cscs_dir/expanded" || cscs_fail "cannot write in $cscs_dir on ${HOSTNAME%%.*}"
	case ${1:-} in
	variable)
		cscs_name_variable "$2" "$3"
		cscs_fail "$REPLY on ${HOSTNAME%%.*}"
		;;
	unwritten) cscs_fail "cannot write in $cscs_dir on ${HOSTNAME%%.*}" ;;
	step) cscs_become_step ;;
	workdir) cscs_fail "the work directory $cscs_workdir does not exist on ${HOSTNAME%%.*}" ;;
	home) cscs_fail "the home directory $HOME does not exist on ${HOSTNAME%%.*}" ;;
	venv) cscs_fail "there is no virtual environment in ${cscs_venv/#\~/$HOME} on ${HOSTNAME%%.*} (no bin/activate)" ;;
	incomplete)
		cscs_name_incomplete "${cscs_venv/#\~/$HOME}"
		cscs_fail "$REPLY on ${HOSTNAME%%.*}"
		;;
	readonly) cscs_fail "your start-up files make the variable $2 read-only, so --env cannot set it" ;;
	aborted) cscs_fail "your login shell on ${HOSTNAME%%.*} cannot prepare the server: a start-up file makes a variable read-only or changes a command of the shell; cscs logs shows the shell's message" ;;
	activate) cscs_fail "${cscs_venv/#\~/$HOME}/bin/activate ended with status $2" ;;
	setup)
		i=${cscs_setup[$2]}
		(($3 != 127)) || cscs_report_missing_command "${i%% *}" "of --setup \"$i\" was not found on ${HOSTNAME%%.*}"
		cscs_fail "--setup \"$i\" ended with status $3"
		;;
	esac
	for i in "${cscs_argv[@]}"; do
		cscs_fill_in "$i"
		argv+=("$REPLY")
	done
	if cscs_may_provide; then
		cscs_where="on ${HOSTNAME%%.*}"
		cscs_write_bootstrap "$cscs_where"
		cscs_provide "$BASH" --noprofile --norc -p
	fi
	if ! type -P -- "${argv[0]}" >/dev/null; then
		cscs_report_missing_command "${argv[0]}" "was not found on ${HOSTNAME%%.*} (PATH=$PATH)"
	fi
	cscs_restore_variables
	shopt -s execfail
	# shellcheck disable=SC2093 # only a failed exec goes on
	exec -- "${argv[@]}"
	cscs_fail "${argv[0]} cannot be run on ${HOSTNAME%%.*}"
}

# cscs_name_incomplete DIRECTORY: sets REPLY to the message that cscs's installation there is not
# complete. This is POSIX sh (55-step.sh).
cscs_name_incomplete() {
	REPLY="the virtual environment $1 is not complete: --bootstrap was interrupted, or installs now (${1%/}.incomplete)"
}

# cscs_report_missing_command COMMAND TEXT: reports a missing command. Start-up files of many sites
# and users define conda, module and the like only for interactive shells; then the user needs
# another fix.
cscs_report_missing_command() {
	local question
	question="builtin type -t -- $(printf %q "$1")"
	# Login shells read /etc/profile and the like; the others read ~/.bashrc.
	cscs_run_shell 10 cscs_exec_shell bash --login -i -c "$question" 2>/dev/null ||
		cscs_run_shell 10 cscs_exec_shell bash -i -c "$question" 2>/dev/null
	REPLY=${REPLY%$'\n'}
	REPLY=${REPLY##*$'\n'}
	case $REPLY in
	function | alias)
		cscs_fail "$1 $2: only your interactive shells know it (a $REPLY of ~/.bashrc): load what defines it with --setup, or move it to ~/.bash_profile"
		;;
	file) cscs_fail "$1 $2: only your interactive shells have it on their PATH: set PATH in ~/.bash_profile, or with --setup" ;;
	*) cscs_fail "$1 $2" ;;
	esac
}
