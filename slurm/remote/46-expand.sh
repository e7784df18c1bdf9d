# Variables in paths (00-expand.sh), in cscs's own shells: the login shell has replaced them.

# cscs_read_launch: reads the output of cscs_print_launch. Fails if it is not complete.
cscs_read_launch() {
	local i n=3 words=()
	mapfile -d '' -t words
	((${#words[@]} == 4 + ${#cscs_step_args[@]} + ${#cscs_env[@]} + ${#cscs_argv[@]} + ${#cscs_reads[@]})) || return
	[[ ${words[-1]} == $'\036' ]] || return
	cscs_workdir=${words[0]} cscs_venv=${words[1]} cscs_environment=${words[2]}
	for i in "${!cscs_step_args[@]}"; do cscs_step_args[i]=${words[n++]}; done
	for i in "${!cscs_env[@]}"; do cscs_env[i]=${words[n++]}; done
	for i in "${!cscs_argv[@]}"; do cscs_argv[i]=${words[n++]}; done
	for i in "${!cscs_reads[@]}"; do cscs_reads[i]=${words[n++]}; done
}

# cscs_name_variable NAME OPTION: sets REPLY to the message that the variable has no value.
cscs_name_variable() { REPLY="the variable $1 of $2 is not set"; }

# cscs_expand_ahead: replaces the variables as the node will do. Fails if this host cannot determine
# the result. Ends the session if a variable is not set.
cscs_expand_ahead() {
	local answer text fd name option
	# Most sessions have no variable and need no login shell here.
	! (cscs_known_prefix=cscs_none_ && cscs_expand_launch) || {
		cscs_expand_launch
		return
	}
	exec {fd}< <(printf '%s\n' "$cscs_script" 2>/dev/null)
	exec {answer}< <(
		cscs_leave_login
		cscs_restore_variables
		exec timeout 5 bash --login "/dev/fd/$fd" launch ahead 2>/dev/null </dev/null
	)
	exec {fd}<&-
	# The output of the start-up files comes before.
	while IFS= read -r -d '' -u "$answer" text; do
		case $text in
		*$'\036cscs-expanded')
			cscs_read_launch <&"$answer" || break
			exec {answer}<&-
			return
			;;
		*$'\036cscs-undefined') IFS= read -r -d '' -u "$answer" name && IFS= read -r -d '' -u "$answer" option && break ;;
		esac
	done
	exec {answer}<&-
	case ${name:-} in
	# Only a job or the server has these, or the login shell did not finish its start-up files.
	'' | SLURM* | CUDA* | ROCR* | HIP* | GPU* | PORT | CSCS_SESSION | TMPDIR) return 1 ;;
	esac
	cscs_name_variable "$name" "$option"
	cscs_refuse_session "$REPLY"
}
