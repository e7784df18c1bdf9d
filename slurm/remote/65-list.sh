# list: all of the user's sessions on this cluster, from whatever laptop they were begun;
# and an end to those that nobody owns any more.

# Beyond its lease, how much longer nobody may have been heard of before a session counts
# as forgotten: the stamp is of another login node's clock, which munge lets differ by less
# than its credentials live (munged(8), 5 minutes).
cscs_forgotten=300
# How long the log of a session is kept that nobody came back for.
cscs_keep_logs=$((7 * 86400))

# How long after its last heartbeat, which come every 30 s, a client counts as one that
# attends the session. Who was killed with his login node has left his file.
cscs_present=150

# cscs_session_of FILE: cscs_about is the session's own words of itself, cscs_term its
# lease in seconds, cscs_age the seconds since that was renewed, or -1, cscs_marked_left
# set if it was left on purpose.
cscs_session_of() {
	local now value='' stamp='' mark=''
	cscs_about='' cscs_term=0 cscs_age=-1 cscs_left=''
	{ IFS= read -r cscs_about <"$1/session.json"; } 2>/dev/null
	[[ ! $cscs_about =~ \"lease\":([0-9]+) ]] || cscs_term=${BASH_REMATCH[1]}
	{ read -r value stamp <"$1/lease"; } 2>/dev/null
	if [[ $stamp == +([0-9]) ]]; then
		printf -v now '%(%s)T' -1
		((cscs_age = now - 10#$stamp, cscs_age >= 0)) || cscs_age=0
	fi
	{ read -r mark <"$1/detached"; } 2>/dev/null
	[[ -z $mark || $mark != "$value" ]] || cscs_left=1
}

# cscs_stale: has nobody owned the session for longer than its lease, as
# cscs_session_of has found it?
cscs_stale() { ((cscs_term > 0 && cscs_age > cscs_term + cscs_forgotten)); }

# cscs_all_jobs: fills the caller's array jobs with squeue's line for each session that Slurm
# knows, by its ID. False if Slurm does not answer; REPLY is what it says.
cscs_all_jobs() {
	local line id
	cscs_me
	REPLY=$(squeue --local --noheader --user="$cscs_user" --format='%i|%j|%T|%r|%S|%e|%P|%a|%N' 2>&1) || return
	while IFS= read -r line; do
		[[ $line == *'|cscs-'* ]] || continue
		id=${line#*|cscs-}
		jobs[${id%%|*}]=$line
	done <<<"$REPLY"
}

# cscs_sweep_forgotten: for a client that begins a session: puts an end to those of before that nobody
# owns. Slurm is asked only if there seems to be one.
cscs_sweep_forgotten() {
	local dir id line state asked=''
	local -A jobs=()
	for dir in "${cscs_dir%/*}"/*/; do
		dir=${dir%/} id=${dir##*/}
		[[ -d $dir && $id == +([a-z0-9]) && $id != "$cscs_id" ]] || continue
		cscs_session_of "$dir"
		cscs_stale || continue
		[[ -n $asked ]] || cscs_all_jobs || return 0
		asked=1
		line=${jobs[$id]:-}
		state=${line#*|*|} state=${state%%|*}
		if [[ -z $cscs_left || -z $line || $state == PENDING ]]; then cscs_sweep_stale "$dir" "${line%%|*}" "$state"; fi
	done
}

cscs_list() {
	local base dir id line job state
	local -A jobs=()
	cscs_have_slurm
	cscs_find_dir
	base=${cscs_dir%/*}
	cscs_say hello "host=${HOSTNAME%%.*}" "dir=$base"
	# Arrays and parts of heterogeneous jobs are none of ours.
	cscs_all_jobs || cscs_die slurm "squeue: $REPLY"
	for dir in "$base"/*/; do
		dir=${dir%/} id=${dir##*/}
		[[ -d $dir && $id == +([a-z0-9]) ]] || continue
		cscs_session_of "$dir"
		line=${jobs[$id]:-}
		unset "jobs[$id]"
		job=${line%%|*}
		state=${line#*|*|} state=${state%%|*}
		if cscs_stale && [[ -z $cscs_left || $state == PENDING ]]; then
			cscs_sweep_stale "$dir" "$job" "$state"
			[[ -d $dir ]] || continue
		fi
		cscs_list_one "$id" "$dir" "$line"
	done
	# A job without a directory has no guard, or will soon have none.
	for id in "${!jobs[@]}"; do
		cscs_about='' cscs_age=-1 cscs_left=''
		cscs_list_one "$id" '' "${jobs[$id]}"
	done
	cscs_say listed
}

# cscs_list_one ID DIR JOB: tells of one session, of who attends it, and how it has ended.
cscs_list_one() {
	local f last='' line seen now clients=() ended=()
	local -A told=()
	if [[ -n $2 ]]; then
		while IFS= read -r line; do last=$line; done 2>/dev/null <"$2/events"
		[[ $last != exited"$cscs_tab"* ]] || IFS=$cscs_tab read -r -a ended <<<"${last#*"$cscs_tab"}"
		last=${last%%"$cscs_tab"*}
		printf -v now '%(%s)T' -1
		for f in "$2"/client.*; do
			{ read -r seen line <"$f"; } 2>/dev/null || continue
			[[ $seen == +([0-9]) && -n $line ]] || continue
			# Each of its connections has a file of its own.
			if ((now - 10#$seen <= cscs_present)) && [[ -z ${told[$line]:-} ]]; then
				clients+=("client=$line") told[$line]=1
			fi
		done
	fi
	cscs_say session "id=$1" "job=$3" "about=$cscs_about" "age=$cscs_age" "left=$cscs_left" "last=$last" "${clients[@]}" "${ended[@]}"
}

# cscs_sweep_stale DIR JOB STATE: an end to a session that nobody owns. A running job has
# a guard that ends it with more care; but who knows what became of that.
cscs_sweep_stale() {
	[[ -z $2 || $3 == COMPLETING ]] || {
		scancel "$2" </dev/null 2>/dev/null
		cscs_say swept "id=${1##*/}" "job=$2" "state=$3" "age=$cscs_age"
		return # what it has to say of its end is still to be written
	}
	local f
	for f in "$1"/* "$1"/.[!.]*; do
		[[ $f == */log || $f == */log.1 || $f == */events || $f == */lease || $f == */session.json ]] || rm -rf "$f"
	done
	if [[ ! -s $1/log ]] || ((cscs_age > cscs_keep_logs)); then
		local cscs_dir=$1
		cscs_remove_dir
	fi
}
