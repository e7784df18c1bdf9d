shopt -s extglob

cscs_main() {
	case $1 in
	run | batch | launch | sshd) ;;
	# What start-up files printed stands before this line; the rest is ours. A client that
	# is gone must not end us by SIGPIPE, with a request of its own at large: the end of
	# standard input is what tells, and there is something to undo then.
	*)
		trap : PIPE
		printf '\n\036cscs/1 %s\n' "$cscs_nonce"
		;;
	esac
	case $1 in
	submit)
		cscs_submit
		cscs_left
		;;
	follow)
		cscs_take_up
		cscs_left
		;;
	stop) cscs_stop_session ;;
	run) cscs_run ;;
	batch) cscs_batch ;;
	launch) cscs_launch ;;
	find) cscs_find ;;
	examine) cscs_examine ;;
	look) cscs_look ;;
	list) cscs_list ;;
	log) cscs_show_log ;;
	enter) cscs_enter ;;
	sshd) cscs_sshd "$2" ;;
	esac
}
