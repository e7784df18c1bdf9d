# The lease: how long a job may run that nobody owns. The client's heartbeats come
# to follow, which writes each into the lease file; the runner looks at it. No clock
# and no modification time is compared, since each host has its own: the runner
# counts its own looks at a value that does not change. A file system that hangs
# makes it look less often, which is not a dead client.

# How often the runner looks, in milliseconds: often enough for a short lease, too.
cscs_lease_look=$((cscs_lease > 0 && cscs_lease < 25 ? cscs_lease * 200 : 5000))

# The file is one line of fixed length, "VALUE STAMP", rewritten in place. STAMP is the
# login node's time at the last renewal. It is looked at once, by a runner that starts: a
# job that waited for hours in the queue shall not run for another lease if its owner has
# been gone since.

# cscs_renew N: the client lives. Its own file says who it is, for cscs ps.
cscs_renew() {
	[[ $1 == +([0-9]) ]] || return 0
	cscs_uptime
	cscs_heard=$REPLY
	{ printf '%010d %(%s)T\n' "$((10#$1))" -1 1<>"$cscs_dir/lease"; } 2>/dev/null
	[[ -z $cscs_client_name || ! -d $cscs_dir ]] ||
		printf '%(%s)T %s\n' -1 "$cscs_client_name" >"$cscs_dir/client.$cscs_nonce"
	return 0
}

# cscs_left: this client attends the session no more.
cscs_left() { rm -f "$cscs_dir/client.$cscs_nonce"; }

# cscs_lease_over MILLISECONDS: the runner's look, that time after the last one. Has
# the lease run out? A gap longer than usual (a file system that hung, a suspended
# job) counts as one usual one. A session directory that somebody removed has no
# owner either.
cscs_lease_over() {
	local value=''
	((cscs_lease > 0)) || return 1
	if ! { read -r value _ <"$cscs_dir/lease"; } 2>/dev/null; then
		[[ -d $HOME && ! -e $cscs_dir ]] || return 1
	fi
	if [[ $value != "${cscs_leased:-}" ]]; then
		cscs_leased=$value cscs_unowned=0
		return 1
	fi
	((cscs_unowned += $1 < 2 * cscs_lease_look ? $1 : 2 * cscs_lease_look))
	((cscs_unowned >= cscs_lease * 1000))
}

# cscs_forsaken: for a runner that starts: has nobody been heard of since long before?
# REPLY is for how many seconds. A client that went on purpose (cscs_mark_detached) may stay
# away until one lease after the start.
#
# The stamp is by another host's clock. Those differ by less than 300 s, else munge would
# refuse Slurm's own messages, and a live client's stamp is at most 30 s old: what is 330 s
# old is nobody's, whatever the clocks. (Leases of less than 120 s are those of tests.)
cscs_forsaken() {
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

# cscs_mark_detached: the client goes on purpose. The lease is renewed once more, and the
# mark holds for as long as nobody else renews it.
cscs_mark_detached() {
	local value=''
	{ read -r value _ <"$cscs_dir/lease"; } 2>/dev/null
	[[ $value == +([0-9]) ]] || value=0
	value=$(((10#$value + 1) % 10000000000))
	cscs_renew "$value"
	printf '%010d\n' "$value" >"$cscs_dir/detached"
}

# cscs_silent: for submit, while it waits: has the client been silent for four of its
# heartbeats, though its connection has not ended? There may be none any more.
cscs_silent() {
	((cscs_lease > 0)) || return 1
	cscs_uptime
	((REPLY - cscs_heard > (cscs_lease < 120 ? cscs_lease : 120) * 1000))
}
