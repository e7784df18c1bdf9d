shopt -s extglob

cscs_main() {
	case $1 in
	# The server's files are the user's business; all others are the user's alone.
	launch) ;;
	*)
		read -r cscs_user_umask < <(umask)
		umask 077
		;;
	esac
	case $1 in
	run | batch | login | launch | step | sshd) ;;
	# What start-up files printed stands before this line; the rest is ours. A client that
	# is gone must not end us by SIGPIPE, with a request of its own at large: the end of
	# standard input is what tells, and there is something to undo then.
	*)
		trap : PIPE
		printf '\n\036cscs/1 %s\n' "$cscs_nonce"
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
	launch) cscs_launch ;;
	step) cscs_become_step ;;
	find) cscs_find ;;
	examine) cscs_examine ;;
	look) cscs_look ;;
	list) cscs_list ;;
	log) cscs_show_log ;;
	enter) cscs_enter ;;
	sshd) cscs_sshd "$2" ;;
	esac
}
