# shellcheck shell=bash
# up: make the hosts' disks and keys, start the hosts, wait until all serve.

HOME_SIZE=2g # the cluster's home file system

lab_up() {
	local began=$EPOCHREALTIME
	RELEASE=trixie NODES=3 ACCOUNTING=
	local rtt=0 buckets=0
	while [[ $# -gt 0 ]]; do
		case $1 in
		--release) RELEASE=${2:-} && shift ;;
		--nodes) NODES=${2:-} && shift ;;
		--rtt) rtt=${2:-} && shift ;;
		--accounting) ACCOUNTING=yes ;;
		--tcp-buckets) buckets=${2:-} && shift ;;
		*) usage_error "up: usage: up [--release R] [--rtt 20ms] [--nodes 3] [--accounting] [--tcp-buckets N]" ;;
		esac
		shift || usage_error "up: the last option lacks its value"
	done
	is_release "$RELEASE" || usage_error "up: no release '$RELEASE': there are ${LAB_RELEASES[*]}"
	[[ $NODES =~ ^[1-9][0-9]?$ ]] || usage_error "up: --nodes: from 1 to 99, not '$NODES'"
	[[ $buckets =~ ^[0-9]+$ ]] || usage_error "up: --tcp-buckets: a number, not '$buckets'"
	need_root
	with_lock "$(lock_name)"
	[[ ! -e $LAB_RUN/up ]] || die "a lab is already up at $LAB_RUN: scripts/lab down"
	[[ ! -e $LAB_RUN ]] || take_down # what is left of an up that failed
	installed "$RELEASE" || die "$RELEASE is not installed, or its recipe has changed: scripts/lab install --release $RELEASE"
	if [[ -n $ACCOUNTING ]]; then
		ACCOUNTING=$(accounting_layer "$RELEASE")
		[[ -d $ACCOUNTING ]] || die "accounting is not installed: scripts/lab install --release $RELEASE --accounting (bookworm and trixie have it)"
	fi
	build_programs
	build_engine "$RELEASE"
	touch "$(tree_of "$RELEASE")" # in use: see remove_old_trees
	STARTING=1
	trap up_failed EXIT
	make_run_directory
	make_all_disks
	start_fabric
	set_tcp_buckets "$buckets"
	start_wire
	wire rtt "$rtt" >/dev/null
	start_all_hosts
	check_logins
	wait_for 20 'Slurm' nodes_idle
	touch "$LAB_RUN/up"
	trap - EXIT
	note "up in $(elapsed "$began") s: $RELEASE, $NODES nodes, rtt $rtt, $LAB_RUN"
}

# up_failed: the logs go with the lab, so they are shown first.
up_failed() {
	trap - EXIT
	note "up failed; the logs' last lines follow, and what was started is taken down"
	find "$LAB_RUN" -type f -size +0 \( -path '*/var/log/*.log' -o -path '*/var-log/*.log' -o -path '*/hosts/*/log' \
		-o -path "$LAB_RUN/*.log" \) -exec tail -n 5 -v {} + >&2 || :
	take_down
}

make_run_directory() {
	mkdir -p "$LAB_RUN"
	# In memory: nothing of a lab reaches the disk, and one unmount removes it.
	mount -t tmpfs -o mode=755 cscs-lab "$LAB_RUN"
	mkdir -p "$LAB_RUN"/hosts "$LAB_RUN"/home/{laptop,ela,cluster}
	mount -t tmpfs -o "mode=755,size=$HOME_SIZE" cscs-lab-home "$LAB_RUN/home/cluster"
	TREE=$(tree_of "$RELEASE")
	ENGINE=$(engine_layer "$RELEASE")
	printf '%s=%q\n' RELEASE "$RELEASE" NODES "$NODES" TREE "$TREE" ENGINE "$ENGINE" ACCOUNTING "$ACCOUNTING" >"$LAB_RUN/state"
	lab_bin >"$LAB_RUN/bin"
}

make_all_disks() {
	local host pids=()
	make_authorities
	make_homes
	for host in $(all_hosts); do
		make_disk "$host" &
		pids+=($!)
	done
	wait_each "${pids[@]}"
	make_known_hosts
	local user
	pids=()
	for user in "${LAB_USERS[@]}"; do
		lab_cert "${user%:*}" &
		pids+=($!)
	done
	wait_each "${pids[@]}"
}

# wait_each PID...: fail if one of them did; a bare wait would not say.
wait_each() {
	local pid
	for pid in "$@"; do wait "$pid" || die "a step of up failed"; done
}

make_homes() {
	local user uid where
	for user in "${LAB_USERS[@]}"; do
		uid=${user#*:}
		for where in laptop ela cluster; do
			install -d -m 700 -o "$uid" -g "$uid" "$LAB_RUN/home/$where/${user%:*}"
		done
		install -d -m 700 -o "$uid" -g "$uid" "$LAB_RUN/home/laptop/${user%:*}/.ssh"
		cluster_dotfiles "$LAB_RUN/home/cluster/${user%:*}" "$uid"
	done
}

# cluster_dotfiles HOME UID: a conda that only interactive shells know, behind
# the guard that most users have in their .bashrc.
cluster_dotfiles() {
	cat >"$1/.bashrc" <<-'EOF'
		[[ $- != *i* ]] && return
		conda() { echo "conda $*" >&2; }
	EOF
	# shellcheck disable=SC2016 # for the user's shell to expand
	echo '[ -z "$BASH_VERSION" ] || . "$HOME/.bashrc"' >"$1/.profile"
	chown "$2:$2" "$1/.bashrc" "$1/.profile"
}

start_all_hosts() {
	local host pids=()
	for host in $(all_hosts); do
		start_host "$host" &
		pids+=($!)
	done
	wait_each "${pids[@]}"
	for host in $(all_hosts); do wait_for 20 "$host" serving "$host"; done
}

# check_logins: each user gets through ela. Both hosts before it use this machine's userland and
# its /etc, so the machine can forbid it.
check_logins() {
	local user pids=()
	for user in "${LAB_USERS[@]}"; do
		check_login "$user" &
		pids+=($!)
	done
	wait_each "${pids[@]}"
}

# check_login NAME:UID
check_login() {
	local name=${1%:*} uid=${1#*:} said
	# daint's sshd greets first.
	said=$(in_host laptop setpriv --reuid "$uid" --regid "$uid" --init-groups \
		timeout 60 ssh -F none -i "/home/$name/.ssh/cscs-key" -o IdentitiesOnly=yes -o BatchMode=yes -o UpdateHostKeys=no \
		-W daint.alps.cscs.ch:22 "$name@ela.cscs.ch" </dev/null 2>&1) || :
	[[ $said == *SSH-2.0-* ]] || die "ela refuses $name: ${said//[[:cntrl:]]/ }; ela's sshd: $(tail -n 3 "$LAB_RUN/hosts/ela/var-log/sshd.log" 2>&1 | tr '\n' ';')" \
		"see /etc/passwd, /etc/shadow, /etc/hosts.deny and /etc/ssh of this machine"
}

nodes_idle() {
	[[ $(in_host ctl sinfo -h -p normal -t idle -o %D 2>/dev/null) == "$NODES" ]]
}
