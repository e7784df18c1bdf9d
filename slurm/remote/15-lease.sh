# The lease: how long a job may run without an owner. The client renews it in two ways. Its
# heartbeats come to follow, which writes each into the lease file; and over its connection
# to the node it has the runner signalled (cscs_renew_runner), since a file may not be
# writable. No clock and no modification time is compared, because each host has its own: the
# runner counts its own reads of a value that does not change. A file system that hangs makes
# it read less often; that is not a dead client.

# How often the runner looks, in milliseconds: often enough for a short lease, too.
cscs_lease_look=$((cscs_lease > 0 && cscs_lease < 25 ? cscs_lease * 200 : 5000))

# The file is one line of fixed length, "VALUE STAMP", rewritten in place. STAMP is the
# login node's time at the last renewal. It is looked at once, by a runner that starts: a
# job that waited for hours in the queue shall not run for another lease if its owner has
# been gone since.

# cscs_renew N: writes a heartbeat of the client into the lease, and reports at once if that
# fails, and when it works again. The client's own file says who it is, for cscs ps.
cscs_renew() {
	local err
	[[ $1 == +([0-9]) ]] || return 0
	cscs_hear
	if { cscs_write_lease "$((10#$1))"; } 2>/dev/null; then
		[[ -z $cscs_unwritten ]] || cscs_say lease written=1
		cscs_unwritten=''
	elif [[ -z $cscs_unwritten ]]; then
		cscs_unwritten=1
		err=$(cscs_write_lease "$((10#$1))" 2>&1)
		err=${err%%$'\n'*}
		cscs_say lease written= "host=${HOSTNAME%%.*}" "message=${err##*: }"
	fi
	[[ -z $cscs_client_name || ! -d $cscs_dir ]] ||
		{ printf '%(%s)T %s\n' -1 "$cscs_client_name" >"$cscs_dir/client.$cscs_nonce"; } 2>/dev/null
	return 0
}

# cscs_write_lease N: rewrites the lease in place, and reads it back: a file system that is
# full may take the bytes and drop them when the file is closed.
cscs_write_lease() {
	local line seen=''
	printf -v line '%010d %(%s)T' "$1" -1
	printf '%s\n' "$line" 1<>"$cscs_dir/lease" || return
	IFS= read -r seen <"$cscs_dir/lease"
	[[ $seen == "$line" ]]
}

# cscs_renew_runner PID: renews the lease in the runner itself, on its node. The process must
# be the runner of this session: numbers of processes are used again. SIGWINCH means
# something to the runner alone; what does not ask for it ignores it (signal(7)).
cscs_renew_runner() {
	local env command
	[[ $1 == +([0-9]) && -O /proc/$1 ]] &&
		{ mapfile -d '' -t command <"/proc/$1/cmdline" && mapfile -d '' -t env <"/proc/$1/environ"; } 2>/dev/null &&
		[[ "${command[*]} " == *"/$cscs_id/remote.sh run " && " ${env[*]} " == *" SLURM_JOB_ID=$cscs_job "* ]] &&
		kill -s WINCH "$1" 2>/dev/null
}

# cscs_forget_client: removes the file by which cscs ps knows that this client attends.
cscs_forget_client() { rm -f "$cscs_dir/client.$cscs_nonce"; }

# cscs_lease_over MILLISECONDS: for the runner, that time after its last call: succeeds if the
# lease has run out. A gap longer than usual (a file system that hung, a suspended job)
# counts as a usual one. A lease that cannot be read is one that was not renewed there.
cscs_lease_over() {
	local value=''
	((cscs_lease > 0)) || return 1
	{ read -r value _ <"$cscs_dir/lease"; } 2>/dev/null || value=''
	if [[ -n $cscs_signalled || -n $value && $value != "$cscs_leased" ]]; then
		cscs_leased=${value:-$cscs_leased} cscs_signalled='' cscs_unowned=0
		return 1
	fi
	((cscs_unowned += $1 < 2 * cscs_lease_look ? $1 : 2 * cscs_lease_look))
	((cscs_unowned >= cscs_lease * 1000))
}

# cscs_has_no_owner: for a runner that starts: succeeds if the lease was not renewed for long
# before; REPLY is for how many seconds. A client that detached (cscs_mark_detached) may
# stay away until one lease after the start.
#
# The stamp is by another host's clock. Those differ by less than 300 s, else munge would
# refuse Slurm's own messages, and a live client's stamp is at most 30 s old: a stamp that is
# 330 s old has no client, whatever the clocks. (Leases of less than 120 s are those of tests.)
cscs_has_no_owner() {
	local value stamp detached most=$((cscs_lease + 60))
	((cscs_lease > 0)) || return 1
	{ read -r value stamp <"$cscs_dir/lease"; } 2>/dev/null || return 1
	[[ $stamp == +([0-9]) ]] || return 1
	{ read -r detached <"$cscs_dir/detached"; } 2>/dev/null && [[ $detached == "$value" ]] && return 1
	((cscs_lease >= 120)) || most=$((2 * cscs_lease))
	((cscs_lease < 120 || most >= 330)) || most=330
	printf -v REPLY '%(%s)T' -1
	((REPLY -= 10#$stamp, REPLY > most))
}

# cscs_mark_detached: for a client that detaches: renews the lease once more, and marks that.
# The mark holds until another client renews the lease.
cscs_mark_detached() {
	local value=''
	{ read -r value _ <"$cscs_dir/lease"; } 2>/dev/null
	[[ $value == +([0-9]) ]] || value=0
	value=$(((10#$value + 1) % 10000000000))
	cscs_renew "$value"
	if [[ -n $cscs_unwritten ]] || ! { printf '%010d\n' "$value" >"$cscs_dir/detached"; } 2>/dev/null; then
		cscs_say note "message=$cscs_dir cannot be written on ${HOSTNAME%%.*}: the lease counts from its last renewal, not from now"
	fi
}

# cscs_hear: the client has sent something.
cscs_hear() {
	cscs_uptime
	cscs_heard=$REPLY
}

# cscs_is_silent: for submit, while it waits, and for look: succeeds if the client has sent none of its last
# four heartbeats, though its connection has not ended: it may be lost.
cscs_is_silent() {
	((cscs_lease > 0)) || return 1
	cscs_uptime
	((REPLY - cscs_heard > (cscs_lease < 120 ? cscs_lease : 120) * 1000))
}
