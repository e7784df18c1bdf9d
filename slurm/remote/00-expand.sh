# Variables of the user's login environment in paths: $SCRATCH, ${USER}. The user's login shell on
# the node replaces them (00-launch.sh). The login node does so in advance, in a login shell of its
# own (46-expand.sh).
#
# These are replaced: every variable in --workdir, --venv, --environment, --uenv and the paths that
# the server shows; in a value of --env if it is a path; in an argument of the command, or in the
# part behind --option=, only if it begins with the variable and is one word. sh -c 'echo $x' stays
# as it is.
#
# These functions run in the user's login shell, so the rules of 00-launch.sh apply here. They have
# no local variables, because they look up the user's variables in the same scope. They evaluate no
# text.
#
# The following directive applies to the whole script. A word in these files has quotes even if it
# needs none.
# shellcheck shell=bash disable=SC2030,SC2031,SC2016

# What can follow a dollar sign. A range of letters would depend on the locale.
cscs_letters=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_
cscs_reference="([$cscs_letters][${cscs_letters}0123456789]*)"
cscs_reference='^('$cscs_reference'|\{'$cscs_reference'\})'
cscs_leading='^\$'${cscs_reference#^}'(/|$)'
# Prefix of the names of the variables that are looked up.
cscs_known_prefix=''

# cscs_expand TEXT: sets REPLY to TEXT with $NAME and ${NAME} replaced by the values of these
# variables. \$NAME becomes $NAME. Fails if a variable has no value; cscs_undefined is its name.
cscs_expand() {
	cscs_rest=$1 REPLY=''
	while [[ $cscs_rest == *\$* ]]; do
		REPLY+=${cscs_rest%%\$*}
		cscs_rest=${cscs_rest#*\$}
		if [[ ! $cscs_rest =~ $cscs_reference ]]; then
			REPLY+=\$
		elif [[ $REPLY == *\\ ]]; then
			cscs_rest=${cscs_rest:${#BASH_REMATCH[0]}} cscs_expanded=1
			REPLY=${REPLY%?}\$${BASH_REMATCH[0]}
		else
			cscs_rest=${cscs_rest:${#BASH_REMATCH[0]}} cscs_expanded=1
			cscs_undefined=${BASH_REMATCH[2]}${BASH_REMATCH[3]}
			cscs_word=$cscs_known_prefix$cscs_undefined
			[[ -n ${!cscs_word-} ]] || \builtin return 1
			REPLY+=${!cscs_word}
		fi
	done
	REPLY+=$cscs_rest
}

# cscs_is_word TEXT: succeeds if TEXT has no blanks and no character with a meaning to a shell,
# except those of variables.
cscs_is_word() {
	[[ $1 != *[[:space:]\'\"\`\;\&\|\<\>\(\)\#\*]* ]]
}

# cscs_expand_launch: replaces the variables in everything that starts the server. Fails if one has
# no value: cscs_undefined is its name and cscs_option its place. Sets cscs_expanded if a text has
# changed.
cscs_expand_launch() {
	cscs_expanded='' cscs_option=--workdir
	cscs_expand "$cscs_workdir" || \builtin return 1
	cscs_workdir=$REPLY cscs_option=--venv
	cscs_expand "$cscs_venv" || \builtin return 1
	cscs_venv=$REPLY cscs_option=--environment
	cscs_expand "$cscs_environment" || \builtin return 1
	cscs_environment=$REPLY
	for cscs_item in "${!cscs_step_args[@]}"; do
		cscs_option=${cscs_step_args[cscs_item]%%=*}
		cscs_expand "${cscs_step_args[cscs_item]}" || \builtin return 1
		cscs_step_args[cscs_item]=$REPLY
	done
	for cscs_item in "${!cscs_env[@]}"; do
		cscs_option="--env ${cscs_env[cscs_item]%%=*}"
		REPLY=${cscs_env[cscs_item]#*=}
		if [[ $REPLY == [/~]* || $REPLY =~ $cscs_leading ]] && cscs_is_word "$REPLY"; then
			cscs_expand "${cscs_env[cscs_item]}" || \builtin return 1
			cscs_env[cscs_item]=$REPLY
		fi
	done
	for cscs_item in "${!cscs_argv[@]}"; do
		cscs_expand_argument || \builtin return 1
	done
	for cscs_item in "${!cscs_reads[@]}"; do
		cscs_expand "${cscs_reads[cscs_item]}" || \builtin return 1
		cscs_reads[cscs_item]=$REPLY
	done
}

# cscs_expand_argument: does the same for argument number cscs_item.
cscs_expand_argument() {
	cscs_option='the command' REPLY=${cscs_argv[cscs_item]} cscs_head=''
	if [[ $REPLY == --*=* ]] && cscs_is_word "${REPLY%%=*}"; then
		cscs_option=${REPLY%%=*} cscs_head=${REPLY%%=*}= REPLY=${REPLY#*=}
	fi
	if { [[ $REPLY =~ $cscs_leading ]] && cscs_is_word "$REPLY"; } || { [[ -n $cscs_head ]] && cscs_is_read "$REPLY"; }; then
		cscs_expand "$REPLY" || \builtin return 1
		cscs_argv[cscs_item]=$cscs_head$REPLY
	fi
}

# cscs_is_read PATH: succeeds if the server shows that path.
cscs_is_read() {
	for cscs_word in "${cscs_reads[@]}"; do
		[[ $cscs_word != "$1" ]] || \builtin return 0
	done
	\builtin return 1
}

# cscs_print_launch: prints the results of cscs_expand_launch, for cscs_read_launch.
cscs_print_launch() {
	\builtin printf '%s\0' "$cscs_workdir" "$cscs_venv" "$cscs_environment" \
		"${cscs_step_args[@]}" "${cscs_env[@]}" "${cscs_argv[@]}" "${cscs_reads[@]}" $'\036'
}

# cscs_print_ahead: prints the same for the login node, or the variable that has no value.
cscs_print_ahead() {
	\builtin unset -v PORT CSCS_SESSION
	if cscs_expand_launch; then
		\builtin printf '\036cscs-expanded\0'
		cscs_print_launch
	else
		\builtin printf '\036cscs-undefined\0%s\0%s\0' "$cscs_undefined" "$cscs_option"
	fi
	\builtin exit 0
}
