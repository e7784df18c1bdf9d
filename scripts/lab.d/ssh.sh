# shellcheck shell=bash
# Keys, certificates and the SSH servers' settings. One certificate authority
# signs the users' keys, another the hosts'.

new_key() { ssh-keygen -q -t "$1" -N '' -C "$2" -f "$3"; }

make_authorities() {
	install -d -m 700 "$LAB_RUN/ca"
	new_key ed25519 'lab user CA' "$LAB_RUN/ca/user_ca" &
	new_key ed25519 'lab host CA' "$LAB_RUN/ca/host_ca" &
	wait
}

# host_names HOST: the names that its host certificate is good for.
host_names() {
	case $1 in
	ela) echo ela.cscs.ch,ela ;;
	daint | daint2) echo "daint.alps.cscs.ch,$1" ;;
	*) echo "$1" ;;
	esac
}

# has_image_keys HOST: the last of several nodes. Its /etc/ssh has the keys of an image, which its sshd does not use.
has_image_keys() {
	local names
	mapfile -t names < <(node_names)
	((NODES > 1)) && [[ $1 == "${names[-1]}" ]]
}

# host_key HOST: its ed25519 key, below /etc/ssh.
host_key() {
	if has_image_keys "$1"; then echo node/ssh_host_ed25519_key; else echo ssh_host_ed25519_key; fi
}

# make_host_keys HOST: ed25519 on each, ecdsa on daint too; certificates on ela
# and daint, so that tests can trust a plain key or the authority.
make_host_keys() {
	local host=$1 etc
	etc=$(host_etc "$1")/ssh
	install -d -m 755 "$etc/node"
	new_key ed25519 "root@$host" "$etc/$(host_key "$host")"
	[[ -e $etc/ssh_host_ed25519_key ]] || new_key ed25519 root@image "$etc/ssh_host_ed25519_key"
	case $host in
	ela | daint | daint2)
		[[ $host == ela ]] || new_key ecdsa "root@$host" "$etc/ssh_host_ecdsa_key"
		ssh-keygen -q -s "$LAB_RUN/ca/host_ca" -I "$host" -h -n "$(host_names "$host")" -V +52w \
			"$etc/ssh_host_ed25519_key.pub"
		;;
	esac
}

# sshd_config HOST: certificates only, on every host.
sshd_config() {
	local host=$1 kind
	kind=$(host_kind "$host")
	cat <<-EOF
		Port 22
		PidFile /run/sshd.pid
		HostKey /etc/ssh/$(host_key "$host")
		TrustedUserCAKeys /etc/ssh/user_ca.pub
		AuthorizedKeysFile none
		PasswordAuthentication no
		KbdInteractiveAuthentication no
		PermitRootLogin no
		UseDNS no
		MaxStartups 100
		PrintMotd no
	EOF
	case $kind in
	jump)
		# A jump host: it carries connections further, and gives no shell.
		printf '%s\n' 'HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub' 'UsePAM no' 'PermitTTY no' \
			'ForceCommand /bin/false' 'AllowTcpForwarding yes' 'AllowStreamLocalForwarding no' \
			'AllowAgentForwarding no' 'X11Forwarding no'
		;;
	login)
		printf '%s\n' 'HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub' \
			'HostKey /etc/ssh/ssh_host_ecdsa_key' 'UsePAM yes' 'AcceptEnv LANG LC_*'
		;;
	node) printf '%s\n' 'UsePAM yes' 'AcceptEnv LANG LC_*' ;;
	esac
	if [[ $kind != jump ]]; then echo 'Subsystem sftp /usr/lib/openssh/sftp-server'; fi
	# From 9.8 on sshd punishes an address for its users' failures. Everybody
	# comes from ela here: one test's refused key would lock out the next test.
	if on_cluster "$host"; then
		[[ $RELEASE == bookworm ]] || echo 'PerSourcePenalties no'
	elif sshd -G -f /dev/null 2>/dev/null | grep -qi '^persourcepenalties'; then
		echo 'PerSourcePenalties no'
	fi
}

# make_known_hosts: what alice and mallory have met before. The last node is
# missing on daint, so that scanning for a key has a case.
make_known_hosts() {
	local user node last names file known
	known=$LAB_RUN/known_hosts
	{
		sed "s/^/ela.cscs.ch /" "$(host_etc ela)/ssh/ssh_host_ed25519_key.pub"
		sed "s/^/daint.alps.cscs.ch /" "$(host_etc daint)/ssh/ssh_host_ed25519_key.pub" "$(host_etc daint2)/ssh/ssh_host_ed25519_key.pub"
	} | cut -d' ' -f1-3 >"$known"
	ssh-keygen -q -H -f "$known" >/dev/null 2>&1
	rm -f "$known.old"
	for user in "${LAB_USERS[@]}"; do
		install -m 600 -o "${user#*:}" -g "${user#*:}" "$known" "$LAB_RUN/home/laptop/${user%:*}/.ssh/known_hosts"
	done
	mapfile -t names < <(node_names)
	last=${names[-1]}
	file=$(host_etc daint)/ssh/ssh_known_hosts
	for node in "${names[@]}"; do
		[[ $node != "$last" || $NODES -eq 1 ]] || continue
		printf '%s,%s %s\n' "$node" "$(hsn_address "$node")" \
			"$(cut -d' ' -f1-2 "$(host_etc "$node")/ssh/$(host_key "$node").pub")"
	done >"$file"
	chmod 644 "$file"
	cp -p "$file" "$(host_etc daint2)/ssh/ssh_known_hosts"
}

# lab_cert USER [VALIDITY] [--principal P] [--key PATH]
lab_cert() {
	local user='' validity=+1d principal='' key=''
	while [[ $# -gt 0 ]]; do
		case $1 in
		--principal) principal=${2:?cert: --principal P} && shift 2 ;;
		--key) key=${2:?cert: --key PATH} && shift 2 ;;
		*)
			if [[ -z $user ]]; then user=$1; else validity=$1; fi
			shift
			;;
		esac
	done
	[[ -n $user ]] || usage_error "cert: usage: cert USER [VALIDITY] [--principal P] [--key PATH]"
	need_root
	[[ -n ${STARTING:-} ]] || load_state
	make_cert "$user" "$validity" "${principal:-$user}" "$key"
}

# make_cert USER VALIDITY PRINCIPAL KEY: KEY is a path on the laptop, or as
# this machine sees it below the laptop's homes.
make_cert() {
	local user=$1 validity=$2 principal=$3 key=$4 uid home
	uid=$(user_id "$user")
	home=$LAB_RUN/home/laptop
	key=${key:-/home/$user/.ssh/cscs-key}
	[[ $key != /home/* ]] || key=$home/${key#/home/}
	[[ -e $key ]] || new_key ed25519 "$user@laptop" "$key"
	rm -f "$key-cert.pub"
	ssh-keygen -q -s "$LAB_RUN/ca/user_ca" -I "$user" -n "$principal" -V "$validity" "$key.pub"
	chmod 600 "$key"
	chmod 644 "$key.pub" "$key-cert.pub"
	chown "$uid:$uid" "$key" "$key.pub" "$key-cert.pub"
}
