# shellcheck shell=bash
# The key service: CSCS's current one and the older one, on a host of its own
# that only the laptop reaches, under CSCS's own names.
#
#	laptop ──web── keys
#
# It is started when it is asked for, so that up does not wait for it.

WEB=198.18.0 # between the laptop and the key service

# keys_bin: its program, named by what it is built of.
keys_bin() {
	local hash
	hash=$(cat "$LAB_REPO"/internal/lab/keyservice/*.go "$LAB_REPO/go.mod" | sha256sum)
	printf '%s/bin/keyservice-%s' "$LAB_ROOT" "${hash:0:12}"
}

# keys_pid: the service's process, as this machine numbers it; empty if it is not up.
keys_pid() { pgrep -f "^[^ ]*/keyservice-[^ ]* serve ${LAB_RUN//./\\.}/keys " || :; }

lab_keys() {
	case ${1:-} in
	on | off) ;;
	*) usage_error "keys: usage: keys on|off" ;;
	esac
	need_root
	load_state
	with_lock "$(lock_name)"
	"keys_$1"
}

keys_on() {
	[[ -z $(keys_pid) ]] || return 0
	build_keyservice
	mkdir -p "$LAB_RUN/keys"
	rm -f "$LAB_RUN/keys/control"
	in_fabric unshare --net "$(keys_bin)" serve "$LAB_RUN/keys" "$LAB_RUN/ca/user_ca" &>>"$LAB_RUN/keys/log"
	wait_for 10 'the key service' keys_serving
	connect_keys
	trust_keys
}

keys_off() {
	local pid
	pid=$(keys_pid)
	[[ -n $pid ]] || return 0
	# Its end of the link goes with its network, and the laptop's with that.
	kill -KILL "$pid"
	wait_for 10 'the end of the key service' keys_gone
}

keys_gone() { [[ -z $(keys_pid) ]]; }

keys_serving() {
	local pid
	pid=$(keys_pid)
	[[ -n $pid && -S $LAB_RUN/keys/control ]] && listening "$pid" 443
}

# connect_keys: link the laptop with the service, if both are there; the laptop may have
# been booted since.
connect_keys() {
	local laptop keys
	laptop=$(host_pid laptop) keys=$(keys_pid)
	[[ -n $laptop && -n $keys ]] || return 0
	in_net_of "$keys" ip link delete web 2>/dev/null || :
	in_net_of "$laptop" ip link delete web 2>/dev/null || :
	in_net_of "$keys" ip -batch - <<-EOF
		link set lo up
		link add web type veth peer name web netns $laptop
		address add $WEB.2/24 dev web
		link set web up
	EOF
	in_net_of "$laptop" ip -batch - <<-EOF
		address add $WEB.1/24 dev web
		link set web up
	EOF
}

# trust_keys: the laptop's programs believe the authority that vouches for the service.
trust_keys() {
	local certs
	certs=/proc/$(host_pid laptop)/root/etc/ssl/certs/ca-certificates.crt
	mkdir -p "${certs%/*}"
	cat "/etc/ssl/certs/ca-certificates.crt" "$LAB_RUN/keys/ca.pem" >"$certs.new"
	mv "$certs.new" "$certs"
}

build_keyservice() {
	local bin
	bin=$(keys_bin)
	[[ ! -x $bin ]] || return 0
	need_go
	note "building the key service"
	mkdir -p "${bin%/*}"
	(cd "$LAB_REPO" && CGO_ENABLED=0 go build -buildvcs=false -o "$bin.new.$$" ./internal/lab/keyservice)
	mv "$bin.new.$$" "$bin"
}
