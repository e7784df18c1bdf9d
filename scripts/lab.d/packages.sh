# shellcheck shell=bash
# Debian packages of this machine: what the laptop, ela and the lab itself use.

HOST_PACKAGES=(
	openssh-server openssh-client            # ela; the laptop's ssh and ssh-keygen
	debootstrap debian-archive-keyring       # the cluster's trees
	iproute2 procps psmisc util-linux        # namespaces, and looking at them
	gcc libc6-dev                            # the SPANK plugin
	ca-certificates curl tmux python3        # the tests' tools on the laptop
)

install_host_packages() {
	local missing=() p
	for p in "${HOST_PACKAGES[@]}"; do
		[[ $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) == 'install ok installed' ]] || missing+=("$p")
	done
	[[ ${#missing[@]} -gt 0 ]] || return 0
	note "installing ${missing[*]}"
	without_services apt_install "${missing[@]}"
}

# apt_install tries the package lists that are there before it fetches new
# ones: on most machines they are fresh enough.
apt_install() {
	local -x DEBIAN_FRONTEND=noninteractive
	apt-get install -qq -y --no-install-recommends "$@" >/dev/null ||
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends "$@" >/dev/null; }
}

# without_services COMMAND...: no package starts its service meanwhile. A
# policy-rc.d that somebody else has put there stays as it is.
without_services() {
	local policy=/usr/sbin/policy-rc.d status=0
	if [[ -e $policy ]]; then
		"$@"
		return
	fi
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	"$@" || status=$?
	rm -f "$policy"
	return "$status"
}
