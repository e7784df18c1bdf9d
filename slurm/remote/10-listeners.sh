# Listening sockets, as the kernel of this node shows them: proc(5), /proc/net/tcp. Every user can
# read the owner's uid there. So the script can determine the owner of a port without root
# (invariant I5).

cscs_proc_net=/proc/net

# cscs_address HEX: sets REPLY to the address as text. The kernel prints IPv4 as one and IPv6 as
# four 32-bit words in the host's byte order. That is little-endian on every machine that this runs
# on.
cscs_address() {
	local h=$1 i w
	case $h in
	????????)
		REPLY=$((16#${h:6:2})).$((16#${h:4:2})).$((16#${h:2:2})).$((16#${h:0:2}))
		;;
	00000000000000000000000000000000) REPLY=:: ;;
	00000000000000000000000001000000) REPLY=::1 ;;
	0000000000000000FFFF0000*)
		cscs_address "${h:24:8}"
		REPLY=::ffff:$REPLY
		;;
	*)
		local out=()
		for ((i = 0; i < 32; i += 8)); do
			w=${h:i:8}
			out+=("${w:6:2}${w:4:2}" "${w:2:2}${w:0:2}")
		done
		local IFS=:
		REPLY="${out[*]}"
		REPLY=${REPLY,,}
		;;
	esac
}

# cscs_listeners: fills the array cscs_found with "address port uid inode" of every TCP socket in
# state LISTEN (0A). The kernel lists these first (Documentation/networking/proc_net_tcp.rst), and
# reads no further than necessary. So the tens of thousands of connections of a busy node are not
# read. Each file is read in one call, because the kernel walks its table again for each line that
# is read separately.
#
# cscs_look_rest is the number of milliseconds until the next check, so that checks take 0.5 % of a
# core. Other users can open sockets too.
cscs_listeners() {
	local f most lines line field stat=() began=0
	! cscs_read_stat "$BASHPID" || began=$((stat[11] + stat[12])) # utime and stime, in 1/100 s
	cscs_found=()
	for f in "$cscs_proc_net/tcp" "$cscs_proc_net/tcp6"; do
		for ((most = 64; ; most *= 16)); do
			lines=()
			{ mapfile -t -s 1 -n "$most" lines <"$f"; } 2>/dev/null
			# The last one is listening, so there can be more.
			[[ ${#lines[@]} == "$most" && ${lines[-1]} == *' 0A '* ]] || break
		done
		for line in "${lines[@]}"; do
			# shellcheck disable=SC2206 # numbers
			field=($line)
			[[ ${field[3]} == 0A ]] || break
			cscs_address "${field[1]%:*}"
			cscs_found+=("$REPLY $((16#${field[1]#*:})) ${field[7]} ${field[9]}")
		done
	done
	cscs_look_rest=0
	! cscs_read_stat "$BASHPID" || cscs_look_rest=$(((stat[11] + stat[12] - began) * 2000))
}

# cscs_split_socket SOCKET: sets the caller's a, p, u and i to the socket's address, port, uid and
# inode.
cscs_split_socket() {
	a=${1%% *} i=${1##* }
	p=${1#* } u=${1% *}
	p=${p%% *} u=${u##* }
}

# cscs_is_loopback ADDRESS: succeeds if only this node can reach the address.
cscs_is_loopback() {
	case $1 in
	127.* | ::1 | ::ffff:127.*) return 0 ;;
	*) return 1 ;;
	esac
}

# cscs_judge_port PORT: reads all listeners, and determines what listens on that port.
cscs_judge_port() {
	cscs_listeners
	cscs_judge_seen_port "$1"
}

# cscs_judge_seen_port PORT: sets cscs_verdict to what listens on that port by the last check: none,
# ours, wide or foreign. Sets cscs_barred if a socket of another user's is on more than ::1. For
# ours and wide, cscs_addr is the address to forward to, and cscs_sock changes when the socket does.
# 127.0.0.1 comes before ::1.
cscs_judge_seen_port() {
	local s a p u i
	cscs_verdict=none cscs_addr='' cscs_sock='' cscs_uid='' cscs_bound='' cscs_barred=''
	for s in "${cscs_found[@]}"; do
		[[ $s == *" $1 "* ]] || continue
		cscs_split_socket "$s"
		[[ $p == "$1" ]] || continue
		if [[ $u != "$UID" ]]; then
			[[ $a == ::1 ]] || cscs_barred=1
			[[ $cscs_verdict == none ]] && cscs_verdict=foreign cscs_uid=$u
		elif ! cscs_is_loopback "$a"; then
			case $a in
			0.0.0.0) cscs_addr=127.0.0.1 ;;
			::) cscs_addr=::1 ;;
			*) cscs_addr=$a ;;
			esac
			cscs_verdict=wide cscs_sock=$s cscs_bound=$a
			return
		elif [[ $cscs_verdict != ours ]]; then
			cscs_verdict=ours cscs_addr=${a#::ffff:} cscs_sock=$s cscs_bound=$a
		fi
	done
}

# cscs_is_port_free: succeeds if a server can listen on 127.0.0.1, by the last check. Another user's
# socket on ::1 does not prevent that: the client forwards to the exact address that was seen.
cscs_is_port_free() { [[ $cscs_verdict == none || $cscs_verdict == foreign && -z $cscs_barred ]]; }

# cscs_free_port: sets REPLY to a port without a listener, by the last check. The port is below the
# range that the kernel gives to outgoing connections, so none of those takes it before the server
# does.
cscs_free_port() {
	local lo=32768 s n a p u i
	local -A taken=()
	[[ -r /proc/sys/net/ipv4/ip_local_port_range ]] && read -r lo _ </proc/sys/net/ipv4/ip_local_port_range
	((lo > 12000)) || lo=32768
	for s in "${cscs_found[@]}"; do
		cscs_split_socket "$s"
		taken[$p]=1
	done
	for ((n = 0; n < 1000; n++)); do
		REPLY=$((10240 + (RANDOM * 32768 + RANDOM) % (lo - 10240)))
		[[ -n ${taken[$REPLY]:-} ]] || return 0
	done
	return 1
}

# look: reports whether the user has a server on cscs_port of this host, again at each change. For
# each line "NUMBER PORT" of the client, it reports that port, until standard input ends. One check
# answers all lines that have come together, each port with its last number. The line "renew PID"
# renews the lease in the runner.
cscs_look() {
	local said='' now code part='' line there='' unrenewed='' rest
	cscs_record_heard
	# The node does not have to know the cluster's name.
	cscs_dir=''
	if [[ -n $cscs_id ]] && cscs_clustername; then cscs_dir=$HOME/.cscs/$REPLY/$cscs_id; fi
	local -A looks=()
	while :; do
		cscs_listeners
		for line in "${!looks[@]}"; do
			cscs_judge_seen_port "$line"
			cscs_report_listener "$line" "look=${looks[$line]}"
		done
		looks=()
		cscs_judge_seen_port "$cscs_port"
		now="$cscs_verdict $cscs_sock $cscs_uid"
		if [[ $now != "$said" ]]; then
			said=$now
			cscs_report_main_listener
		fi
		# A client that vanished does not close standard input. So this shell ends when the
		# session's directory is removed or, if it has never seen the directory, when the client is
		# silent. A missing home directory does not end the session.
		if [[ -n $cscs_dir && -d $cscs_dir ]]; then
			there=1
		elif [[ -n $there ]]; then
			[[ ! -d $HOME ]] || return
		else
			! cscs_is_silent || return
		fi
		((rest = cscs_look_rest / 1000, rest > cscs_every)) || rest=$cscs_every
		IFS= read -r -t "$rest" -u 0 line
		code=$?
		part+=$line
		((code <= 128)) || continue
		((code == 0)) || return
		cscs_record_heard
		cscs_handle_look_line "$part"
		part=''
		while read -r -t 0 -u 0 && IFS= read -r -t 1 -u 0 line; do cscs_handle_look_line "$line"; done
	done
}

# cscs_handle_look_line LINE: handles one line of the client's, for cscs_look.
cscs_handle_look_line() {
	if [[ $1 == +([0-9])' '+([0-9]) ]]; then
		looks[${1#* }]=${1% *}
	elif [[ $1 == 'renew '* ]]; then
		if cscs_renew_runner "${1#* }"; then
			unrenewed=''
		elif [[ -z $unrenewed ]]; then
			unrenewed=1
			cscs_say unrenewed "host=${HOSTNAME%%.*}"
		fi
	fi
}

# cscs_find_job_of DIRECTORY: sets REPLY to the job of the process with this directory of proc(5).
# The job follows from its cgroup (cgroup.conf(5): .../job_N/step_M/...) or, without one from Slurm,
# from its environment. Fails if neither shows a job.
cscs_find_job_of() {
	local line env
	REPLY=''
	while IFS= read -r line; do
		[[ $line =~ /job_([0-9]+)(/|$) ]] && REPLY=${BASH_REMATCH[1]} && break
	done 2>/dev/null <"$1/cgroup"
	if [[ -z $REPLY ]]; then
		{ mapfile -d '' -t env <"$1/environ"; } 2>/dev/null
		for line in "${env[@]}"; do
			[[ $line != SLURM_JOB_ID=* ]] || REPLY=${line#*=}
		done
	fi
	cscs_is_job "$REPLY"
}

# cscs_report_main_listener: reports the last judged port, cscs_port, and the job in which the
# server runs. For a session it does not look for the job, which the session knows.
cscs_report_main_listener() {
	local pid=''
	REPLY=''
	if [[ -z $cscs_id && $cscs_verdict == @(ours|wide) ]]; then
		pid=$(cscs_holder "${cscs_sock##* }")
		[[ -n $pid ]] && cscs_find_job_of "/proc/$pid" || REPLY=''
	fi
	cscs_report_listener "$cscs_port" "job=$REPLY"
}

# cscs_report_listener PORT [KEY=VALUE]...: reports PORT, which is the last judged port.
cscs_report_listener() {
	local owner=${cscs_uid:+$(id -un "$cscs_uid" 2>/dev/null)}
	cscs_say listener "verdict=$cscs_verdict" "addr=$cscs_addr" "bound=$cscs_bound" \
		"owner=${owner:-$cscs_uid}" "port=$1" "${@:2}"
}
