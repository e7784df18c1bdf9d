shopt -s extglob

cscs_main() {
	case $1 in
	run | launch) ;;
	# What start-up files printed stands before this line; the rest is ours.
	*) printf '\n\036cscs/1 %s\n' "$cscs_nonce" ;;
	esac
	case $1 in
	submit) cscs_submit ;;
	follow) cscs_take_up ;;
	stop) cscs_stop_session ;;
	run) cscs_run ;;
	launch) cscs_launch ;;
	find) cscs_find ;;
	look) cscs_look ;;
	list) cscs_list ;;
	log) cscs_show_log ;;
	esac
}
