# enter: the second way to the node, for when its own sshd rejects the user although the job runs
# there. A step of the job runs an sshd as the user, for one connection (sshd(8), -i). That
# connection is this command's standard input and output. Key pairs and configuration are this
# session's own. The sshd accepts only the key of the client that asked for it, and presents the
# host key that this client has made for it.

# cscs_put_keys DIRECTORY: writes the files that the sshd on the node needs.
cscs_put_keys() {
	local err may='restrict,port-forwarding '
	cscs_find_user
	[[ -z $cscs_person ]] || may=''
	err=$({
		mkdir -p "$1" &&
			printf '%s' "$cscs_host_key" >"$1/host_key" &&
			printf '%s\n' "$may$cscs_user_key" >"$1/authorized_keys" &&
			cscs_sshd_config "$1" >"$1/config"
	} 2>&1) || cscs_die home "cannot write in $1: ${err##*: }"
}

# cscs_sshd_config DIRECTORY: prints the sshd_config(5). It allows commands, and connections to
# ports and sockets of the node; everything else is off. PAM and the owners of the directories above
# do not matter, because the sshd cannot become another user. The sshd drops a silent client a
# little later than the client would give up itself. An external client gets what the node's own
# sshd would give: the first value of each keyword counts.
cscs_sshd_config() {
	local options=()
	[[ -z $cscs_person ]] || options=('PermitTTY yes' 'AllowAgentForwarding yes' 'AllowTcpForwarding yes' 'MaxAuthTries 6' 'AcceptEnv LANG LC_*' 'Subsystem sftp internal-sftp')
	options+=(
		"HostKey \"$1/host_key\""
		"AuthorizedKeysFile \"${1//%/%%}/authorized_keys\""
		'AuthenticationMethods publickey'
		'PasswordAuthentication no'
		'KbdInteractiveAuthentication no'
		'HostbasedAuthentication no'
		# A pattern: ? replaces characters with a meaning in it or in the file (ssh_config(5),
		# PATTERNS).
		"AllowUsers ${cscs_user//[!a-zA-Z0-9._-]/?}"
		'PermitRootLogin prohibit-password'
		'UsePAM no'
		'StrictModes no'
		'PermitTTY no'
		'PermitUserRC no'
		'PermitUserEnvironment no'
		'PermitTunnel no'
		'X11Forwarding no'
		'AllowAgentForwarding no'
		'AllowTcpForwarding local'
		'AllowStreamLocalForwarding local'
		'GatewayPorts no'
		'MaxSessions 100'
		'MaxAuthTries 2'
		'LoginGraceTime 60'
		'ClientAliveInterval 15'
		'ClientAliveCountMax 5'
		'UseDNS no'
		'PidFile none'
		'PrintMotd no'
		'LogLevel ERROR'
	)
	printf '%s\n' "${options[@]}"
}

cscs_enter() {
	local run=exec
	cscs_find_slurm
	cscs_find_dir
	if [[ -n $cscs_guest ]]; then
		cscs_be_guest
		run=''
	elif [[ -n $cscs_person ]]; then
		# Files of shells that were killed. sshd needs its files until the login is complete.
		find "$cscs_dir" -maxdepth 1 -name 'sshd-person-*' -mmin +10 -exec rm -rf {} + 2>/dev/null
		trap '' HUP
		run=''
	fi
	[[ -d $cscs_dir ]] || cscs_die gone "the session's directory no longer exists on the cluster"
	cscs_put_keys "$cscs_dir/sshd-$cscs_door"
	cscs_leave_login
	# Otherwise bash would read this file there (bash(1), BASH_ENV), and its output would come
	# before the stream.
	unset BASH_ENV
	cscs_unset_presets
	# The rest of standard input is the stream; srun takes it over. srun's messages go to standard
	# error.
	$run srun --jobid="$cscs_job" "${cscs_srun_args[@]}" --nodelist="$cscs_node" \
		bash --noprofile --norc -p "$cscs_dir/remote.sh" sshd "$cscs_door"
	if [[ -n $cscs_person ]]; then
		rm -rf "$cscs_dir/sshd-$cscs_door"
	else
		cscs_remove_dir
	fi
}

# cscs_be_guest: for a tunnel into a job that is not a session's: finds the job, and makes a
# directory that is removed when the step ends. Its name is not a session's, so that no command
# lists it.
cscs_be_guest() {
	local err
	if [[ -z $cscs_job ]]; then
		cscs_find_user
		read -r cscs_job < <(squeue --local --noheader --user="$cscs_user" --nodelist="$cscs_node" --states=RUNNING --format=%i 2>/dev/null)
		[[ -n $cscs_job ]] || cscs_die nojob "no job of yours runs on $cscs_node"
	fi
	cscs_check_parents
	cscs_remove_old_guests "${cscs_dir%/*}"
	cscs_dir=${cscs_dir%/*}/tunnel-${cscs_dir##*/}
	err=$({ cscs_make_dir && printf '%s\n' "$cscs_script" >"$cscs_dir/remote.sh"; } 2>&1) || {
		cscs_remove_dir
		cscs_die home "cannot write in $cscs_dir: ${err##*: }"
	}
	trap '' HUP # this shell cleans up after the step
}

# cscs_remove_old_guests DIRECTORY: removes the directories of tunnels whose shell was killed.
cscs_remove_old_guests() {
	local cscs_dir dir
	while IFS= read -r dir; do
		! cscs_is_id "${dir##*/tunnel-}" || {
			cscs_dir=$dir
			cscs_remove_dir
		}
	done < <(find "$1" -maxdepth 1 -name 'tunnel-*' -type d -mtime +2 2>/dev/null)
}

# Directories that can contain an sshd, which are on no user's PATH. A site with other directories
# sets CSCS_SSHD_DIRS.
cscs_sshd_dirs=${CSCS_SSHD_DIRS:-/usr/sbin:/usr/local/sbin:/sbin:/usr/lib/ssh:/usr/libexec:/opt/ssh/sbin:$PATH}

# sshd DOOR: becomes the sshd, in the step on the node. After the line "stream", standard output is
# the connection; sshd's messages go to standard error.
cscs_sshd() {
	local dir found='' dirs at=${BASH_SOURCE[0]%/*}/sshd-$1 node=${SLURMD_NODENAME:-${HOSTNAME%%.*}}
	# sshd itself checks this file, and would then run commands for root only.
	[[ ! -e /etc/nologin ]] || cscs_die nologin "$node is closed for logins (/etc/nologin)"
	IFS=: read -ra dirs < <(printf '%s\n' "$cscs_sshd_dirs")
	for dir in "${dirs[@]}"; do
		# sshd executes itself again, and requires an absolute path for that.
		[[ $dir == /* && -f $dir/sshd && -x $dir/sshd ]] || continue
		found=$dir/sshd
		break
	done
	[[ -n $found ]] || cscs_die nosshd "there is no sshd on $node (searched ${cscs_sshd_dirs//:/, })"
	cscs_say stream
	exec "$found" -i -e -f "$at/config"
}
