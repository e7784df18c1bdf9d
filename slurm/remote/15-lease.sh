# The lease: how long a job may run that nobody owns. The client's heartbeats come
# to follow, which writes each into the lease file; the runner looks at it. No clock
# and no modification time is compared, since each host has its own: the runner
# counts its own looks at a value that does not change. A file system that hangs
# makes it look less often, which is not a dead client.

# How often the runner looks, in milliseconds: often enough for a short lease, too.
cscs_lease_look=$((cscs_lease > 0 && cscs_lease < 25 ? cscs_lease * 200 : 5000))

# cscs_renew N: the client lives. A fixed-length value, rewritten in place.
cscs_renew() {
	[[ $1 == +([0-9]) ]] || return 0
	cscs_uptime
	cscs_heard=$REPLY
	{ printf '%010d\n' "$((10#$1))" 1<>"$cscs_dir/lease"; } 2>/dev/null
	return 0
}

# cscs_lease_over MILLISECONDS: the runner's look, that time after the last one. Has
# the lease run out? A gap longer than usual (a file system that hung, a suspended
# job) counts as one usual one. A session directory that somebody removed has no
# owner either.
cscs_lease_over() {
	local value=''
	((cscs_lease > 0)) || return 1
	if ! { IFS= read -r value <"$cscs_dir/lease"; } 2>/dev/null; then
		[[ -d $HOME && ! -e $cscs_dir ]] || return 1
	fi
	if [[ $value != "${cscs_leased:-}" ]]; then
		cscs_leased=$value cscs_unowned=0
		return 1
	fi
	((cscs_unowned += $1 < 2 * cscs_lease_look ? $1 : 2 * cscs_lease_look))
	((cscs_unowned >= cscs_lease * 1000))
}

# cscs_silent: for submit, while it waits: has the client been silent for four of its
# heartbeats, though its connection has not ended? There may be none any more.
cscs_silent() {
	((cscs_lease > 0)) || return 1
	cscs_uptime
	((REPLY - cscs_heard > (cscs_lease < 120 ? cscs_lease : 120) * 1000))
}
