# shellcheck shell=bash
# The hosts of the lab: their names, kinds and addresses.
#
#	laptop ──wan── ela ──dmz── daint, daint2 ──hsn── nid001001 nid001002 … and ctl
#
# daint and daint2 are login nodes behind one name, daint.alps.cscs.ch (lab_login_node).
#
# ctl runs slurmctld. It is a host of its own, as on Alps: a dead login node
# does not take the controller with it. No host forwards packets, so each
# reaches its neighbours only; nothing has a route out of the lab.

WAN=198.51.100 # the line between laptop and ela
DMZ=203.0.113  # between ela and the login node
HSN=172.28.0   # between the login node, the controller and the compute nodes

# all_hosts: every host's name; NODES is how many compute nodes there are.
all_hosts() {
	printf '%s\n' laptop ela daint daint2 ctl
	node_names
}

node_names() {
	local i
	for ((i = 1; i <= NODES; i++)); do printf 'nid%06d\n' $((1000 + i)); done
}

# node_range: the compute nodes in Slurm's notation.
node_range() { printf 'nid[001001-%06d]' $((1000 + NODES)); }

host_kind() {
	case $1 in
	laptop) echo laptop ;;
	ela) echo jump ;;
	daint | daint2) echo login ;;
	ctl) echo controller ;;
	nid*) echo node ;;
	*) return 1 ;;
	esac
}

# on_cluster HOST: whether HOST is one of the cluster's, which run in the
# release's tree; the others use this machine's own userland.
on_cluster() {
	[[ $1 != laptop && $1 != ela ]]
}

# hsn_address HOST: its address inside the cluster.
hsn_address() {
	case $1 in
	ctl) echo "$HSN.2" ;;
	daint) echo "$HSN.10" ;;
	daint2) echo "$HSN.11" ;;
	nid*) echo "$HSN.$((100 + 10#${1#nid} - 1000))" ;;
	esac
}

# hosts_file HOST: what it knows of the others. There is no DNS.
hosts_file() {
	local host=$1 node
	printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n'
	case $host in
	laptop)
		printf '%s.1 laptop\n%s.2 ela.cscs.ch\n' "$WAN" "$WAN"
		# They answer after keys on (keys.sh).
		printf '%s.2 auth.cscs.ch authx-gateway.svc.cscs.ch sshservice.cscs.ch\n' "$WEB"
		;;
	ela)
		printf '%s.2 ela.cscs.ch ela\n' "$DMZ"
		login_names daint
		;;
	*)
		printf '%s daint.alps.cscs.ch daint\n%s ctl\n' "$(hsn_address daint)" "$(hsn_address ctl)"
		printf '%s daint2\n' "$(hsn_address daint2)"
		for node in $(node_names); do printf '%s %s\n' "$(hsn_address "$node")" "$node"; done
		;;
	esac
}

# login_names HOST...: what ela knows of the login nodes: the addresses of the common name, in that order.
login_names() {
	local host
	for host in "$@"; do printf '%s %s daint.alps.cscs.ch\n' "$(dmz_address "$host")" "$host"; done
}

dmz_address() {
	case $1 in
	daint) echo "$DMZ.3" ;;
	daint2) echo "$DMZ.4" ;;
	esac
}

# lab_login_node HOST...: the common name of the login nodes leads there from now on, for new connections; the
# second one is for when the first refuses.
lab_login_node() {
	local host
	(($# > 0)) || usage_error "login-node: usage: login-node daint|daint2 [daint|daint2]"
	for host in "$@"; do
		[[ $(host_kind "$host") == login ]] || usage_error "login-node: $host is no login node"
	done
	need_root
	load_state
	{
		hosts_file ela | grep -v daint
		login_names "$@"
	} | lab_in ela tee /etc/hosts >/dev/null
}

# need_host NAME: fail unless the running lab has that host.
need_host() {
	[[ -d $LAB_RUN/hosts/$1 ]] || usage_error "no host '$1': there are $(all_hosts | tr '\n' ' ')"
}

# host_pid NAME: its pid 1, as this machine numbers it; empty if it is down.
# The number is only believed while it is still that host's init.
host_pid() {
	local pid cmdline
	{ read -r pid <"$LAB_RUN/hosts/$1/pid" && mapfile -d '' -t cmdline <"/proc/$pid/cmdline"; } 2>/dev/null || return 0
	[[ "${cmdline[*]} " == *"host-init $LAB_RUN $1 "* ]] && echo "$pid"
	return 0
}
