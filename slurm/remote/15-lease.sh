# The lease: how long a job may run without a client. The client renews it in two ways. follow
# receives its heartbeats and writes each into the lease file. Over the client's connection to the
# node, look signals the runner (cscs_renew_runner), because the file may not be writable. No clock
# and no modification time is compared, because each host has its own. Instead, the runner counts
# its own reads of an unchanged value. A file system that hangs makes it read less often, and does
# not count as a dead client.

# Milliseconds between two reads by the runner: often enough for a short lease too.
cscs_lease_look=$((cscs_lease > 0 && cscs_lease < 25 ? cscs_lease * 200 : 5000))

# The file is one line of fixed length, "VALUE STAMP", rewritten in place. STAMP is the login node's
# time at the last renewal. A runner reads it once, when it starts: a job that waited for hours in
# the queue must not run for another lease if no client has renewed it since.

# cscs_renew N: writes a heartbeat of the client into the lease. It reports at once if that fails,
# and when it works again. The client's own file contains its name, for cscs ps.
cscs_renew() {
	local err
	[[ $1 == +([0-9]) ]] || return 0
	cscs_record_heard
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

# cscs_write_lease N: rewrites the lease in place and reads it back. A full file system can take the
# bytes and drop them when the file is closed.
cscs_write_lease() {
	local line seen=''
	printf -v line '%010d %(%s)T' "$1" -1
	printf '%s\n' "$line" 1<>"$cscs_dir/lease" || return
	IFS= read -r seen <"$cscs_dir/lease"
	[[ $seen == "$line" ]]
}

# cscs_renew_runner PID: renews the lease in the runner itself, on its node. The process must be
# this session's runner, because process numbers are reused. SIGWINCH has an effect on the runner
# only: a process that does not ask for it ignores it (signal(7)).
cscs_renew_runner() {
	local env command
	[[ $1 == +([0-9]) && -O /proc/$1 ]] &&
		{ mapfile -d '' -t command <"/proc/$1/cmdline" && mapfile -d '' -t env <"/proc/$1/environ"; } 2>/dev/null &&
		[[ "${command[*]} " == *"/$cscs_id/remote.sh run " && " ${env[*]} " == *" SLURM_JOB_ID=$cscs_job "* ]] &&
		kill -s WINCH "$1" 2>/dev/null
}

# cscs_forget_client: removes the file that shows to cscs ps that this client attends.
cscs_forget_client() { rm -f "$cscs_dir/client.$cscs_nonce"; }

# cscs_is_lease_over MILLISECONDS: succeeds if the lease has run out. The runner calls it this time
# after its last call. A longer gap than usual (a file system that hung, a suspended job) counts as
# two usual ones at most. A lease that cannot be read counts as not renewed there.
cscs_is_lease_over() {
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

# cscs_has_no_owner: for a runner that starts: succeeds if the last renewal of the lease is too old;
# REPLY is its age in seconds. A client that detached (cscs_mark_detached) may stay away until one
# lease after the start.
#
# The stamp is another host's time. The clocks differ by less than 300 s, or munge would refuse
# Slurm's own messages. A living client's stamp is at most 30 s old. So a stamp that is 330 s old
# has no client, by any clock. (Only tests have leases of less than 120 s.)
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

# cscs_mark_detached: for a client that detaches: renews the lease once more, and records that
# value. The mark is valid until another client renews the lease.
cscs_mark_detached() {
	local value=''
	{ read -r value _ <"$cscs_dir/lease"; } 2>/dev/null
	[[ $value == +([0-9]) ]] || value=0
	value=$(((10#$value + 1) % 10000000000))
	cscs_renew "$value"
	if [[ -n $cscs_unwritten ]] || ! { printf '%010d\n' "$value" >"$cscs_dir/detached"; } 2>/dev/null; then
		cscs_say note "message=$cscs_dir cannot be written on ${HOSTNAME%%.*}: the lease counts from its last renewal"
	fi
}

# cscs_record_heard: records the time at which the client sent something.
cscs_record_heard() {
	cscs_uptime
	cscs_heard=$REPLY
}

# cscs_is_silent: for submit while it waits, and for look: succeeds if the client has sent no
# heartbeat for the lease, or for 120 s, though its connection has not ended. The client may be
# lost.
cscs_is_silent() {
	((cscs_lease > 0)) || return 1
	cscs_uptime
	((REPLY - cscs_heard > (cscs_lease < 120 ? cscs_lease : 120) * 1000))
}
