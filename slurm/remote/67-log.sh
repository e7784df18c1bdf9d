# log: prints the server's log or, with cscs_last, its last lines. With cscs_every, it then prints
# what is added, until the session ends.

# cscs_log_block FILE FROM: prints the file behind its first FROM bytes. It opens the file once,
# because the file can be renamed and another one take its name.
cscs_log_block() {
	local fd bytes
	{ exec {fd}<"$1"; } 2>/dev/null || return 0
	bytes=$(stat -L -c %s "/dev/fd/$fd")
	if ((bytes > $2)); then
		cscs_say log "bytes=$((bytes - $2))"
		tail -c "+$(($2 + 1))" <&"$fd" | head -c "$((bytes - $2))"
		cscs_shown=$bytes
	fi
	exec {fd}<&-
}

cscs_show_log() {
	local over='' node now
	cscs_check_home away
	cscs_find_dir
	cscs_is_ours "$cscs_dir" || {
		cscs_say gone
		return
	}
	cscs_say hello "host=${HOSTNAME%%.*}" "dir=$cscs_dir"
	cscs_shown=0
	if [[ -n ${cscs_last:-} ]]; then
		# Count the bytes before these lines: the server writes on, so the file's size is no
		# measure.
		cscs_shown=$(head -n "-$cscs_last" "$cscs_dir/log" 2>/dev/null | wc -c)
	else
		[[ ! -s $cscs_dir/log.1 ]] || cscs_log_block "$cscs_dir/log.1" 0
		cscs_shown=0
	fi
	node=$(cscs_inode "$cscs_dir/log")
	while :; do
		# Check before the last read, so that nothing that comes in between is lost.
		if [[ ! -d $cscs_dir ]] || cscs_has_exited 2>/dev/null; then over=1; fi
		now=$(cscs_inode "$cscs_dir/log")
		if [[ $now != "$node" && -n $node ]]; then
			[[ $(cscs_inode "$cscs_dir/log.1") != "$node" ]] || cscs_log_block "$cscs_dir/log.1" "$cscs_shown"
			cscs_shown=0
		fi
		node=$now
		cscs_log_block "$cscs_dir/log" "$cscs_shown"
		[[ -z $over && $cscs_every != 0 ]] || break
		IFS= read -r -t "$cscs_every" -u 0 _
		(($? > 128)) || break # the client is gone
	done
	cscs_say shown
}

cscs_inode() { stat -c %i "$1" 2>/dev/null; }
