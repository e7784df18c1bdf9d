# shellcheck shell=bash
# The network. All of it lives in the fabric, a hidden network namespace with
# two bridges; nothing of the lab is ever in this machine's own, so the names
# are free in every lab.

# in_fabric_net COMMAND...: with this machine's pids, so that a host can be
# named by its own.
in_fabric_net() { nsenter --net="/proc/$(cat "$LAB_RUN/fabric.pid")/ns/net" "$@"; }

make_bridges() {
	in_fabric_net ip -batch - <<-EOF
		link set lo up
		link add dmz type bridge
		link add hsn type bridge
		link set dmz up
		link set hsn up
	EOF
}

# set_tcp_buckets N: gives each host its own table of TCP connections with N buckets. With 0, the hosts share
# this machine's table, as large as that of a compute node with this memory, and each look at
# /proc/net/tcp walks through it, for some milliseconds. Linux before 6.1 cannot do this. Other limits would
# follow the size of the table: connect sets them.
set_tcp_buckets() {
	[[ $1 == 0 || ! -e /proc/sys/net/ipv4/tcp_child_ehash_entries ]] ||
		in_fabric_net sysctl -qw "net.ipv4.tcp_child_ehash_entries=$1"
}

# connect HOST PID: give a host that has just started its links and addresses.
connect() {
	local host=$1 pid=$2
	case $host in
	laptop)
		connect_wan "$pid" a "$WAN.1" "$WAN.2"
		connect_keys
		;;
	ela)
		connect_wan "$pid" b "$WAN.2" "$WAN.1"
		connect_bridge "$host" "$pid" dmz "$DMZ.2"
		;;
	daint | daint2)
		connect_bridge "$host" "$pid" dmz "$(dmz_address "$host")"
		connect_bridge "$host" "$pid" hsn "$(hsn_address "$host")"
		;;
	*) connect_bridge "$host" "$pid" hsn "$(hsn_address "$host")" ;;
	esac
	in_net_of "$pid" ip link set lo up
	# A new namespace takes this machine's setting, and may forward. The other two are those of a large machine.
	in_net_of "$pid" sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 \
		net.ipv4.tcp_max_tw_buckets=131072 net.ipv4.tcp_max_syn_backlog=2048
}

in_net_of() {
	local pid=$1
	shift
	nsenter --net="/proc/$pid/ns/net" "$@"
}

# mac_of ADDRESS: a host that has been booted again has the network card that it had, so
# that its neighbours, who remember that, do not look for it elsewhere.
mac_of() {
	local IFS=.
	# shellcheck disable=SC2086 # its four numbers
	printf '02:00:%02x:%02x:%02x:%02x' $1
}

# connect_bridge HOST PID BRIDGE ADDRESS: the host's interface has the bridge's name.
connect_bridge() {
	in_fabric_net ip -batch - <<-EOF
		link add $3-$1 type veth peer name $3 address $(mac_of "$4") netns $2
		link set $3-$1 master $3 up
	EOF
	in_net_of "$2" ip -batch - <<-EOF
		address add $4/24 dev $3
		link set $3 up
	EOF
}

# connect_wan PID END ADDRESS PEER: that end of the delay line.
connect_wan() {
	wire attach "$2" "wan-$2" >/dev/null
	in_fabric_net ip link set "wan-$2" netns "$1" name wan
	in_net_of "$1" ip -batch - <<-EOF
		address add $3 peer $4 dev wan
		link set wan mtu 1500 txqueuelen 5000 up
	EOF
}

# disconnect HOST: take its network away at once, so that a crash says nothing
# to anybody: a dying kernel's sockets would still send their farewells.
disconnect() {
	case $1 in
	laptop) wire detach a >/dev/null ;;
	ela) wire detach b >/dev/null ;;
	esac
	local bridge
	for bridge in dmz hsn; do
		in_fabric_net ip link delete "$bridge-$1" 2>/dev/null || :
	done
}

# listening PID PORT: whether something listens on that TCP port in that
# process's network. Read from outside, so that asking costs nothing.
listening() {
	grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$2") [0-9A-F:]+ 0A " "/proc/$1/net/tcp" "/proc/$1/net/tcp6" 2>/dev/null
}
