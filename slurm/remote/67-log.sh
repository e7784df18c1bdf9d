# log: the server's log or, with cscs_last, its last lines, and with cscs_every what is added to it until the session ends.

# cscs_log_block FILE FROM: what the file has beyond its first FROM bytes. It is opened
# once: meanwhile it may be moved away, and another take its name.
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
	cscs_see_home away
	cscs_find_dir
	cscs_is_ours "$cscs_dir" || {
		cscs_say gone
		return
	}
	cscs_say hello "host=${HOSTNAME%%.*}" "dir=$cscs_dir"
	cscs_shown=0
	if [[ -n ${cscs_last:-} ]]; then
		# Counted up to them, the size means nothing: the server goes on writing.
		cscs_shown=$(head -n "-$cscs_last" "$cscs_dir/log" 2>/dev/null | wc -c)
	else
		[[ ! -s $cscs_dir/log.1 ]] || cscs_log_block "$cscs_dir/log.1" 0
		cscs_shown=0
	fi
	node=$(cscs_inode "$cscs_dir/log")
	while :; do
		# Before the last look, so that nothing is lost that came in between.
		if [[ ! -d $cscs_dir ]] || cscs_exited 2>/dev/null; then over=1; fi
		now=$(cscs_inode "$cscs_dir/log")
		if [[ $now != "$node" && -n $node ]]; then
			[[ $(cscs_inode "$cscs_dir/log.1") != "$node" ]] || cscs_log_block "$cscs_dir/log.1" "$cscs_shown"
			cscs_shown=0
		fi
		node=$now
		cscs_log_block "$cscs_dir/log" "$cscs_shown"
		[[ -z $over && $cscs_every != 0 ]] || break
		IFS= read -r -t "$cscs_every" -u 0 _
		(($? > 128)) || break # the client has gone
	done
	cscs_say shown
}

cscs_inode() { stat -c %i "$1" 2>/dev/null; }
