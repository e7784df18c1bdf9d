# enter: the other way to the node, where its own sshd does not let the user in though
# the job runs there. A step of the job runs an sshd as the user, for one connection
# (sshd(8), -i), and this command's standard input and output are that connection. Key
# pairs and configuration are this session's own: it lets in the one key of the client
# that asked for it, and shows the host key that this client has made for it.

# cscs_put_keys DIRECTORY: what the sshd on the node needs.
cscs_put_keys() {
	local err may='restrict,port-forwarding '
	cscs_me
	[[ -z $cscs_person ]] || may=''
	err=$({
		mkdir -p "$1" &&
			printf '%s' "$cscs_host_key" >"$1/host_key" &&
			printf '%s\n' "$may$cscs_user_key" >"$1/authorized_keys" &&
			cscs_sshd_config "$1" >"$1/config"
	} 2>&1) || cscs_die home "cannot write in $1: ${err##*: }"
}

# cscs_sshd_config DIRECTORY: sshd_config(5). Commands, and connections to ports and
# sockets of the node, are what it is for; all else is off. PAM and the owners of the
# directories above are not its business: it can become nobody else anyway. A client
# that is heard of no more is let go of a little later than it would give up itself. A person
# gets what the node's own sshd would give: the first value of each keyword counts.
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
		# A pattern; what has a meaning in it, or in the file, is any one character (ssh_config(5), PATTERNS).
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
	cscs_have_slurm
	cscs_find_dir
	if [[ -n $cscs_guest ]]; then
		cscs_be_guest
		run=''
	elif [[ -n $cscs_person ]]; then
		# What is left where this shell was killed. sshd needs its files until it has let somebody in.
		find "$cscs_dir" -maxdepth 1 -name 'sshd-person-*' -mmin +10 -exec rm -rf {} + 2>/dev/null
		trap '' HUP
		run=''
	fi
	[[ -d $cscs_dir ]] || cscs_die gone "the session's directory has disappeared from the cluster"
	cscs_put_keys "$cscs_dir/sshd-$cscs_door"
	cscs_leave_login
	# Else bash would read it there (bash(1), BASH_ENV), and what it printed stand before the stream.
	unset BASH_ENV
	cscs_unset_presets
	# The stream is all that is left of standard input; srun takes it over. Its own words
	# go to standard error.
	$run srun --jobid="$cscs_job" "${cscs_srun_args[@]}" --nodelist="$cscs_node" \
		bash --noprofile --norc -p "$cscs_dir/remote.sh" sshd "$cscs_door"
	if [[ -n $cscs_person ]]; then
		rm -rf "$cscs_dir/sshd-$cscs_door"
	else
		cscs_remove_dir
	fi
}

# cscs_be_guest: for a tunnel into a job that is no session of ours: which job, and a directory
# that is gone when the step is. Its name is no session's, so that nobody lists it.
cscs_be_guest() {
	local err
	if [[ -z $cscs_job ]]; then
		cscs_me
		read -r cscs_job < <(squeue --local --noheader --user="$cscs_user" --nodelist="$cscs_node" --states=RUNNING --format=%i 2>/dev/null)
		[[ -n $cscs_job ]] || cscs_die nojob "no job of yours runs on $cscs_node"
	fi
	cscs_see_parents
	cscs_remove_old_guests "${cscs_dir%/*}"
	cscs_dir=${cscs_dir%/*}/tunnel-${cscs_dir##*/}
	err=$({ cscs_make_dir && printf '%s\n' "$cscs_script" >"$cscs_dir/remote.sh"; } 2>&1) || {
		cscs_remove_dir
		cscs_die home "cannot write in $cscs_dir: ${err##*: }"
	}
	trap '' HUP # what comes after the step is for us to do
}

# cscs_remove_old_guests DIRECTORY: removes there the directories of tunnels whose shell was killed here.
cscs_remove_old_guests() {
	local cscs_dir dir
	while IFS= read -r dir; do
		! cscs_is_id "${dir##*/tunnel-}" || {
			cscs_dir=$dir
			cscs_remove_dir
		}
	done < <(find "$1" -maxdepth 1 -name 'tunnel-*' -type d -mtime +2 2>/dev/null)
}

# Where an sshd may be, which is on no user's PATH. A site whose nodes have it elsewhere sets CSCS_SSHD_DIRS.
cscs_sshd_dirs=${CSCS_SSHD_DIRS:-/usr/sbin:/usr/local/sbin:/sbin:/usr/lib/ssh:/usr/libexec:/opt/ssh/sbin:$PATH}

# sshd DOOR: in the step on the node, becomes the sshd. From the line "stream" on, standard
# output is the connection; what sshd has to say goes to standard error.
cscs_sshd() {
	local dir found='' dirs at=${BASH_SOURCE[0]%/*}/sshd-$1 node=${SLURMD_NODENAME:-${HOSTNAME%%.*}}
	# sshd itself looks at that, and would run no command for anybody but root.
	[[ ! -e /etc/nologin ]] || cscs_die nologin "$node is closed for logins (/etc/nologin)"
	IFS=: read -ra dirs < <(printf '%s\n' "$cscs_sshd_dirs")
	for dir in "${dirs[@]}"; do
		# It starts itself anew, and insists on an absolute path for that.
		[[ $dir == /* && -f $dir/sshd && -x $dir/sshd ]] || continue
		found=$dir/sshd
		break
	done
	[[ -n $found ]] || cscs_die nosshd "there is no sshd on $node (looked for in ${cscs_sshd_dirs//:/, })"
	cscs_say stream
	exec "$found" -i -e -f "$at/config"
}
