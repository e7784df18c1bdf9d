# find: reports a node and its host keys: for a tunnel to a server that cscs did not start, or for
# another program that connects to a session's node.

# cscs_find_runner: reports the place of the session cscs_id, from its runner's events. It does not
# ask Slurm.
cscs_find_runner() {
	local line alive='' scanned='' over=''
	cscs_find_dir
	cscs_check_home away
	cscs_is_ours "$cscs_dir" || cscs_die gone "session $cscs_id no longer exists on this cluster"
	while IFS= read -r line; do
		case $line in
		alive"$cscs_tab"*) alive=$line ;;
		scanned"$cscs_tab"*) scanned=$line ;;
		exited"$cscs_tab"*) over=$line ;;
		esac
	done 2>/dev/null <"$cscs_dir/events"
	[[ -z $alive ]] || printf '%s\n' "$alive"
	[[ -z $scanned ]] || printf '%s\n' "$scanned"
	[[ -z $over ]] || printf '%s\n' "$over"
	cscs_say found
}

# cscs_find_only_job: sets cscs_job to the user's only running job. Reports each job. Fails if none
# or more than one runs.
cscs_find_only_job() {
	local answer line n=0
	answer=$(cscs_exec_query squeue --local --noheader --user="$cscs_user" --format='%i|%T|%r|%S|%e|%P|%a|%N' 2>&1) || cscs_die slurm "squeue: $answer"
	while IFS= read -r line; do
		[[ $line == *'|'* ]] || continue
		cscs_say mine "answer=$line"
		[[ $line == *'|RUNNING|'* ]] || continue
		cscs_job=${line%%'|'*}
		((++n))
	done < <(printf '%s\n' "$answer")
	((n == 1)) && return
	cscs_say which
	return 1
}

cscs_find() {
	local answer line type key found='' revoked=' '
	[[ -z $cscs_id ]] || {
		cscs_find_runner
		return
	}
	cscs_find_slurm
	cscs_say hello "host=${HOSTNAME%%.*}"
	cscs_find_user
	if [[ -z $cscs_job$cscs_node ]]; then
		cscs_find_only_job || return
	elif [[ -z $cscs_job ]]; then
		# Report the user's jobs on the node; an unknown node has none. A task of an array also has
		# its own number (%A), which its processes know.
		while IFS='|' read -r cscs_job answer; do
			! cscs_is_job "$cscs_job" || cscs_say on "job=$cscs_job" "answer=$answer"
		done < <(squeue --local --noheader --user="$cscs_user" --states=RUNNING --nodelist="$cscs_node" --format='%A|%T|%N|%u|%e|%S' 2>/dev/null)
		cscs_job=''
	fi
	if [[ -n $cscs_job ]]; then
		answer=$(cscs_exec_query squeue --local --noheader --jobs="$cscs_job" --format='%T|%N|%u|%e|%S' 2>&1)
		cscs_say where "job=$cscs_job" "answer=$answer"
		[[ $answer == RUNNING'|'* ]] || return
		cscs_node=${answer#*'|'}
		cscs_node=${cscs_node%%'|'*}
		# scontrol expands the list to its first node.
		cscs_node=$(cscs_exec_query scontrol show hostnames "$cscs_node" 2>/dev/null | head -n 1)
	fi
	cscs_say node "node=$cscs_node"
	while read -r line type key; do
		[[ $line == '#'* ]] && continue
		if [[ $line == @* ]]; then
			# @revoked HOSTS TYPE KEY; an authority signs host keys, and is not one.
			[[ $line != @revoked ]] || revoked+="${key#* } "
			continue
		fi
		cscs_say hostkey "node=$cscs_node" "from=ssh_known_hosts" "key=$type ${key%% *}"
		found=1
	done < <(ssh-keygen -F "$cscs_node" -f /etc/ssh/ssh_known_hosts 2>/dev/null)
	if [[ -z $found ]]; then
		while read -r _ type key; do
			[[ $type == ssh-* || $type == ecdsa-* ]] || continue
			[[ $revoked != *" $key "* ]] || cscs_die revoked "the host key of $cscs_node is marked as revoked in the login node's /etc/ssh/ssh_known_hosts"
			cscs_say hostkey "node=$cscs_node" "from=scan" "key=$type $key"
			found=1
		done < <(ssh-keyscan -T 5 -- "$cscs_node" 2>/dev/null)
	fi
	if [[ -z $found ]]; then
		answer=$(cscs_exec_query sinfo --local --noheader --nodes="$cscs_node" --format=%N 2>/dev/null) && [[ -z $answer ]] &&
			cscs_die unknownnode "there is no node $cscs_node on this cluster"
		cscs_die nonode "no sshd answers on $cscs_node"
	fi
	cscs_say found
}
