# launch: prepares the server's start in the user's login shell on the node. It leaves the rest to
# serve (50-launch.sh), in a privileged shell.
#
# This shell has read the user's start-up files. They can have defined functions and aliases with
# the names of commands, and changed options (set, shopt), IFS and traps. So this file and
# 00-expand.sh come before all others, which are not read here. They call builtins only, by the
# quoted word builtin: an alias is never a quoted word, and cscs_unset_builtin removes a function
# called builtin. The user's commands (--venv, --setup) find the shell as the start-up files left
# it.

# cscs_unset_builtin: removes a function of the user's called builtin. The assignment turns on POSIX
# mode, in which no function hides a special builtin such as unset (bash(1), FUNCTIONS; POSIX
# 2.9.1).
cscs_unset_builtin() {
	if [[ -v POSIXLY_CORRECT ]]; then
		\unset -f builtin
	else
		POSIXLY_CORRECT=y
		\unset -f builtin
		\unset -v POSIXLY_CORRECT
		# The end of POSIX mode also turns off aliases (bash's general.c, posix_initialize).
		[[ -z $cscs_aliases ]] || \builtin shopt -s expand_aliases
	fi
}

# cscs_serve_as [PROBLEM [DETAIL]...]: becomes the shell that becomes the server, or that reports
# the problem. The environment contains the user's exported functions, also one called builtin.
cscs_serve_as() {
	cscs_posix=''
	[[ ! -v POSIXLY_CORRECT ]] || cscs_posix=1
	POSIXLY_CORRECT=${POSIXLY_CORRECT-y}
	\set +a
	# If the start-up files have run set -a, that variable and these functions are exported.
	[[ -n $cscs_posix ]] || \export -n POSIXLY_CORRECT
	\export -nf cscs_expand cscs_is_word cscs_expand_launch cscs_expand_argument cscs_is_read cscs_print_launch \
		cscs_print_ahead cscs_unset_builtin cscs_serve_as cscs_fill_in cscs_set_up cscs_launch
	if [[ -n $cscs_builtin ]]; then
		\eval "$cscs_builtin"
		\export -f builtin
	fi
	\exec "$BASH" --noprofile --norc -p "$cscs_dir/remote.sh" serve "$cscs_port_kept" "$@"
}

# cscs_fill_in TEXT: sets REPLY to the text with {port} and {dir} replaced.
cscs_fill_in() {
	REPLY=${1//\{port\}/"$cscs_listen"}
	REPLY=${REPLY//\{dir\}/"$cscs_dir"}
}

# cscs_set_up NUMBER: runs one of the user's commands in this shell, so that its exports stay.
cscs_set_up() {
	\builtin eval "${cscs_setup[$1]}"
}

# cscs_launch [ahead]: runs the verb launch. The status of every command is checked, because set -e
# or a trap on ERR could end this shell.
cscs_launch() {
	cscs_aliases='' cscs_builtin='' cscs_port_kept=''
	[[ ":$BASHOPTS:" != *:expand_aliases:* ]] || cscs_aliases=1
	cscs_builtin=$(POSIXLY_CORRECT=y && [[ $(\export -fp) == *@('export -f'|'declare -fx')' builtin'* ]] && \unset -f declare && \declare -f builtin) ||
		cscs_builtin=''
	cscs_unset_builtin
	[[ ${1-} != ahead ]] || cscs_print_ahead
	cscs_dir=${BASH_SOURCE[0]%/*}
	# The umask here is the user's, as the server needs it.
	(\builtin umask 077 && \builtin printf '%d\n' "$$" >|"$cscs_dir/launched") || [[ -n $cscs_dir ]]
	cscs_listen=$(<"$cscs_dir/port")
	# An assignment to a read-only variable would end this function. serve sets PORT instead.
	if (PORT='') 2>/dev/null; then
		\builtin export PORT="$cscs_listen"
	else
		cscs_port_kept=1
	fi
	# shellcheck disable=SC2034 # for the server
	\builtin export CSCS_SESSION="$cscs_id" || [[ -n $cscs_dir ]]
	# A value of an ended login would override ours.
	((${#cscs_unset[@]} == 0)) || \builtin unset -v "${cscs_unset[@]}" || [[ -n $cscs_dir ]]
	cscs_expand_launch || cscs_serve_as variable "$cscs_undefined" "$cscs_option"
	# The shell that becomes the server starts afresh and has none of these variables.
	[[ -z $cscs_expanded ]] || (\builtin umask 077 && cscs_print_launch >|"$cscs_dir/expanded") || cscs_serve_as unwritten
	if ((${#cscs_step_args[@]})); then
		# --setup can call the functions of this shell.
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
		# serve installs what is missing there (52-bootstrap.sh).
		if [[ -z $cscs_bootstrap || (-r $cscs_venv/bin/activate && ! -e ${cscs_venv%/}.incomplete) ]]; then
			[[ -r $cscs_venv/bin/activate ]] || cscs_serve_as venv
			[[ ! -e ${cscs_venv%/}.incomplete ]] || cscs_serve_as incomplete
			# shellcheck disable=SC1091 # the user's own file
			\builtin . "$cscs_venv/bin/activate" || cscs_serve_as activate "$?"
			cscs_unset_builtin
		fi
	fi
	for cscs_item in "${cscs_env[@]}"; do
		cscs_fill_in "$cscs_item"
		\builtin export "${REPLY?}" || cscs_serve_as readonly "${REPLY%%=*}"
	done
	for cscs_item in "${!cscs_setup[@]}"; do
		cscs_set_up "$cscs_item" || cscs_serve_as setup "$cscs_item" "$?"
		cscs_unset_builtin
	done
	cscs_serve_as
}

[[ ${1-} != launch ]] || cscs_launch "${2-}"
# An error that ends the function, such as an assignment to a read-only variable, does not end the
# shell.
[[ ${1-} != launch || ${2-} == ahead ]] || cscs_serve_as aborted
