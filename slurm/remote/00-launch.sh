# launch: in the user's login shell on the node, sets up what the server starts in, and leaves
# the rest to serve (50-launch.sh), in a shell of our own.
#
# This shell has read the user's start-up files. They may have defined functions and aliases with
# names of commands, and changed options (set, shopt), IFS and traps. So this file and 00-expand.sh
# stand before all others, which are not read here. They call builtins only, by the word builtin and
# quoted: no alias is a quoted word, and cscs_trust removes a function called builtin. What
# the user asks for (--venv, --setup) finds the shell as the start-up files left it.

# cscs_trust: removes a function of the user's called builtin. In POSIX mode, which the assignment
# begins, no function hides a special builtin such as unset (bash(1), FUNCTIONS; POSIX 2.9.1).
cscs_trust() {
	if [[ -v POSIXLY_CORRECT ]]; then
		\unset -f builtin
	else
		POSIXLY_CORRECT=y
		\unset -f builtin
		\unset -v POSIXLY_CORRECT
		# The end of POSIX mode is one of aliases, too (bash's general.c, posix_initialize).
		[[ -z $cscs_aliases ]] || \builtin shopt -s expand_aliases
	fi
}

# cscs_serve_as [PROBLEM [DETAIL]...]: becomes the shell that becomes the server, or that reports
# the problem. The environment holds the user's exported functions, that called builtin too.
cscs_serve_as() {
	cscs_posix=''
	[[ ! -v POSIXLY_CORRECT ]] || cscs_posix=1
	POSIXLY_CORRECT=${POSIXLY_CORRECT-y}
	\set +a
	# Where the start-up files have said set -a, that variable and these functions are exported.
	[[ -n $cscs_posix ]] || \export -n POSIXLY_CORRECT
	\export -nf cscs_expand cscs_is_word cscs_expand_launch cscs_expand_argument cscs_is_read cscs_print_launch \
		cscs_print_ahead cscs_trust cscs_serve_as cscs_fill_in cscs_set_up cscs_launch
	if [[ -n $cscs_builtin ]]; then
		\eval "$cscs_builtin"
		\export -f builtin
	fi
	\exec "$BASH" --noprofile --norc -p "$cscs_dir/remote.sh" serve "$cscs_port_kept" "$@"
}

# cscs_fill_in TEXT: REPLY is the text with {port} and {dir} replaced.
cscs_fill_in() {
	REPLY=${1//\{port\}/"$cscs_listen"}
	REPLY=${REPLY//\{dir\}/"$cscs_dir"}
}

# cscs_set_up NUMBER: runs one of the user's commands in this shell, so that what it exports is kept.
cscs_set_up() {
	\builtin eval "${cscs_setup[$1]}"
}

# cscs_launch [ahead]: no command fails where its status is not looked at: set -e, or a trap on ERR, would
# end this shell.
cscs_launch() {
	cscs_aliases='' cscs_builtin='' cscs_port_kept=''
	[[ ":$BASHOPTS:" != *:expand_aliases:* ]] || cscs_aliases=1
	cscs_builtin=$(POSIXLY_CORRECT=y && [[ $(\export -fp) == *@('export -f'|'declare -fx')' builtin'* ]] && \unset -f declare && \declare -f builtin) ||
		cscs_builtin=''
	cscs_trust
	[[ ${1-} != ahead ]] || cscs_print_ahead
	cscs_dir=${BASH_SOURCE[0]%/*}
	# The umask here is the user's, for the server.
	(\builtin umask 077 && \builtin printf '%d\n' "$$" >|"$cscs_dir/launched") || [[ -n $cscs_dir ]]
	cscs_listen=$(<"$cscs_dir/port")
	# An assignment to a read-only variable would end this function. serve sets it instead.
	if (PORT='') 2>/dev/null; then
		\builtin export PORT="$cscs_listen"
	else
		cscs_port_kept=1
	fi
	# shellcheck disable=SC2034 # for the server
	\builtin export CSCS_SESSION="$cscs_id" || [[ -n $cscs_dir ]]
	# A dead login's value of these would win over ours.
	((${#cscs_unset[@]} == 0)) || \builtin unset -v "${cscs_unset[@]}" || [[ -n $cscs_dir ]]
	cscs_expand_launch || cscs_serve_as variable "$cscs_undefined" "$cscs_option"
	# The shell that becomes the server begins anew, and does not know what this one knows.
	[[ -z $cscs_expanded ]] || (\builtin umask 077 && cscs_print_launch >|"$cscs_dir/expanded") || cscs_serve_as unwritten
	if ((${#cscs_step_args[@]})); then
		# --setup may call the functions of this shell.
		(\builtin umask 077 && \builtin declare -f >|"$cscs_dir/login-functions") || [[ -n $cscs_dir ]]
		cscs_serve_as step
	fi
	if [[ -n $cscs_workdir ]]; then
		CDPATH='' \builtin cd -- "${cscs_workdir/#\~/"$HOME"}" 2>/dev/null || cscs_serve_as workdir
	else
		\builtin cd || cscs_serve_as home
	fi
	if [[ -n $cscs_venv ]]; then
		cscs_venv=${cscs_venv/#\~/"$HOME"}
		# What is missing there, serve installs (52-bootstrap.sh).
		if [[ -z $cscs_bootstrap || (-r $cscs_venv/bin/activate && ! -e ${cscs_venv%/}.incomplete) ]]; then
			[[ -r $cscs_venv/bin/activate ]] || cscs_serve_as venv
			[[ ! -e ${cscs_venv%/}.incomplete ]] || cscs_serve_as incomplete
			# shellcheck disable=SC1091 # the user's own file
			\builtin . "$cscs_venv/bin/activate" || cscs_serve_as activate "$?"
			cscs_trust
		fi
	fi
	for cscs_item in "${cscs_env[@]}"; do
		cscs_fill_in "$cscs_item"
		\builtin export "${REPLY?}" || cscs_serve_as readonly "${REPLY%%=*}"
	done
	for cscs_item in "${!cscs_setup[@]}"; do
		cscs_set_up "$cscs_item" || cscs_serve_as setup "$cscs_item" "$?"
		cscs_trust
	done
	cscs_serve_as
}

[[ ${1-} != launch ]] || cscs_launch "${2-}"
# An error that ends the function, such as an assignment to a read-only variable, does not end the shell.
[[ ${1-} != launch || ${2-} == ahead ]] || cscs_serve_as aborted
