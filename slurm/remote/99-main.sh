shopt -s extglob

# cscs_main VERB [WORD]...: runs the verb.
cscs_main() {
	case $1 in
	# The umask of the server's files is the user's choice; all other files are the user's alone.
	serve) ;;
	*)
		read -r cscs_user_umask < <(umask)
		umask 077
		;;
	esac
	case $1 in
	run | batch | login | serve | sshd) ;;
	# Output of start-up files comes before this line; the rest is ours. SIGPIPE of a client that is
	# gone must not end this shell while a request of its own is on the way. The end of standard
	# input reports that, and there can be something to undo then.
	*)
		trap : PIPE
		printf '\n\036cscs/1 %s\n' "$cscs_nonce"
		# A shell that a start-up file has started has read the script, and not our shell.
		[[ -n $cscs_script ]] || cscs_die inner "a start-up file starts another shell, which reads our commands"
		;;
	esac
	[[ -z $cscs_id ]] || cscs_is_id "$cscs_id" || cscs_die protocol "'$cscs_id' is not a session ID"
	case $1 in
	submit)
		cscs_submit
		cscs_forget_client
		;;
	follow)
		cscs_take_up
		cscs_forget_client
		;;
	stop) cscs_stop_session ;;
	run) cscs_run ;;
	batch) cscs_batch ;;
	login) cscs_login ;;
	serve) cscs_serve "${@:2}" ;;
	find) cscs_find ;;
	watchjob) cscs_watch_job ;;
	examine) cscs_examine ;;
	look) cscs_look ;;
	list) cscs_list ;;
	log) cscs_show_log ;;
	enter) cscs_enter ;;
	sshd) cscs_sshd "$2" ;;
	esac
}
