# list: reports all of the user's sessions on this cluster, from any client, and ends those that are
# stale. A session is a directory that cscs_make_dir has made; a job that only has a session's name
# is the user's own.

# Seconds beyond its lease after which a session without a renewal is stale. The stamp is another
# login node's time, and munge lets clocks differ by less than the life of its credentials
# (munged(8), 5 minutes).
cscs_forgotten=300
# Seconds for which the log of a session stays if no client fetches it.
cscs_keep_logs=$((7 * 86400))

# Seconds after its last heartbeat for which a client counts as attending; heartbeats come every 30
# s. A client that was killed with its login node leaves its file.
cscs_present=150

# cscs_read_session DIRECTORY: reads a session's directory. Sets cscs_about to the session's own
# description, cscs_term to its lease in seconds, and cscs_age to the seconds since the lease was
# renewed, or -1. Sets cscs_away if its last client detached.
cscs_read_session() {
	local now value='' stamp='' mark=''
	cscs_about='' cscs_term=0 cscs_age=-1 cscs_away=''
	{ IFS= read -r cscs_about <"$1/session.json"; } 2>/dev/null
	[[ ! $cscs_about =~ \"lease\":([0-9]{1,9})[^0-9] ]] || cscs_term=${BASH_REMATCH[1]}
	{ read -r value stamp <"$1/lease"; } 2>/dev/null
	if [[ $stamp == +([0-9]) ]]; then
		printf -v now '%(%s)T' -1
		((cscs_age = now - 10#$stamp, cscs_age >= 0)) || cscs_age=0
	fi
	{ read -r mark <"$1/detached"; } 2>/dev/null
	[[ -z $mark || $mark != "$value" ]] || cscs_away=1
}

# cscs_is_stale: succeeds if the session that cscs_read_session has read had no client for longer
# than its lease. cscs_sweep_stale spares the job of a client that detached while it waits or its
# runner can still start: its lease begins when the job starts, and the runner counts it.
cscs_is_stale() { ((cscs_term > 0 && cscs_age > cscs_term + cscs_forgotten)); }

# cscs_read_jobs: fills the caller's array jobs, by session ID, with one line for each job that has
# the name of a session: "NUMBER|STATE|REASON|START|END|PARTITION|ACCOUNT|NODES". Fails if Slurm
# does not answer; REPLY is its message. The name comes last in squeue's line, because a user's own
# job can have any name, even with a |.
cscs_read_jobs() {
	local line id rest answer
	cscs_find_user
	answer=$(cscs_exec_query squeue --local --noheader --user="$cscs_user" --format='%i|%T|%r|%S|%e|%P|%a|%N|%j' 2>&1) || {
		REPLY=$answer
		return 1
	}
	while IFS= read -r line; do
		id=$line
		for _ in 1 2 3 4 5 6 7 8; do
			rest=${id#*|}
			[[ $rest != "$id" ]] || continue 2
			id=$rest
		done
		if [[ $id == cscs-* ]] && cscs_is_id "${id#cscs-}" && cscs_is_job "${line%%|*}"; then
			jobs[${id#cscs-}]+=${line%"|$id"}$'\n'
		fi
	done < <(printf '%s\n' "$answer")
}

# cscs_choose_job ID DIRECTORY: sets REPLY to the line of the session's own job in the caller's
# array jobs, the last one of several; empty if there is none. Another job of that name is the
# user's own.
cscs_choose_job() {
	local line rest=${jobs[$1]:-} own=''
	while [[ -n $rest ]]; do
		line=${rest%%$'\n'*} rest=${rest#*$'\n'}
		! cscs_is_job_of "$2" "${line%%|*}" || own=$line
	done
	REPLY=$own
}

# cscs_job_number LINE, cscs_job_state_of LINE: sets REPLY to that field of a line of
# cscs_read_jobs; empty for an empty line.
cscs_job_number() { REPLY=${1%%|*}; }
cscs_job_state_of() {
	REPLY=${1#*|}
	REPLY=${REPLY%%|*}
}

# cscs_each_session FUNCTION: calls FUNCTION ID DIRECTORY for each session of this cluster.
cscs_each_session() {
	local dir
	for dir in "${cscs_dir%/*}"/*/; do
		dir=${dir%/}
		if cscs_is_id "${dir##*/}" && cscs_is_ours "$dir"; then "$1" "${dir##*/}" "$dir"; fi
	done
}

# cscs_sweep_forgotten: for a client that begins a session: ends stale sessions. It asks Slurm only
# if a session seems stale.
cscs_sweep_forgotten() {
	local asked=''
	local -A jobs=()
	cscs_each_session cscs_sweep_one
}

# cscs_sweep_one ID DIRECTORY: ends the session if it is stale. For cscs_sweep_forgotten.
cscs_sweep_one() {
	[[ $1 != "$cscs_id" && $asked != failed ]] || return
	cscs_read_session "$2"
	cscs_is_stale || return
	if [[ -z $asked ]]; then
		asked=failed
		cscs_read_jobs || return
		asked=1
	fi
	cscs_choose_job "$1" "$2"
	cscs_sweep_stale "$1" "$2" "$REPLY"
}

cscs_list() {
	local -A jobs=()
	cscs_find_slurm
	cscs_check_home away
	cscs_find_dir
	cscs_say hello "host=${HOSTNAME%%.*}" "dir=${cscs_dir%/*}"
	cscs_read_jobs || cscs_die slurm "squeue: $REPLY"
	cscs_each_session cscs_list_swept
	cscs_say listed
}

# cscs_list_swept ID DIRECTORY: ends the session if it is stale, and reports it if its directory is
# still there.
cscs_list_swept() {
	local job
	cscs_read_session "$2"
	cscs_choose_job "$1" "$2"
	job=$REPLY
	if cscs_is_stale; then
		cscs_sweep_stale "$1" "$2" "$job"
		[[ -d $2 ]] || return
	fi
	cscs_list_one "$1" "$2" "$job"
}

# cscs_list_one ID DIRECTORY JOB: reports one session: the server's port, the clients that attend
# it, and how it ended. JOB is its line of cscs_read_jobs.
cscs_list_one() {
	local f last='' line port='' seen now clients=() ended=()
	local -A told=()
	while IFS= read -r line; do
		cscs_is_aside "$line" || last=$line
		[[ $line != listening"$cscs_tab"*port=* ]] || port=${line##*"${cscs_tab}port="}
	done 2>/dev/null <"$2/events"
	port=${port%%"$cscs_tab"*}
	[[ $last != exited"$cscs_tab"* ]] || IFS=$cscs_tab read -r -a ended < <(printf '%s\n' "${last#*"$cscs_tab"}")
	last=${last%%"$cscs_tab"*}
	printf -v now '%(%s)T' -1
	for f in "$2"/client.*; do
		{ read -r seen line <"$f"; } 2>/dev/null || continue
		[[ $seen == +([0-9]) && -n $line ]] || continue
		# Each connection of a client has its own file.
		if ((now - 10#$seen <= cscs_present)) && [[ -z ${told[$line]:-} ]]; then
			clients+=("client=$line") told[$line]=1
		fi
	done
	cscs_say session "id=$1" "job=$3" "about=$cscs_about" "age=$cscs_age" "left=$cscs_away" "last=$last" "port=$port" "${clients[@]}" "${ended[@]}"
}

# cscs_sweep_stale ID DIRECTORY JOB: ends a stale session. JOB is its line of cscs_read_jobs.
cscs_sweep_stale() {
	local job state
	cscs_job_number "$3"
	job=$REPLY
	cscs_job_state_of "$3"
	state=$REPLY
	case $state in
	'' | COMPLETING) ;;
	PENDING)
		[[ -z $cscs_away ]] || return
		cscs_sweep_job "$1" "$job" "$state"
		return
		;;
	*)
		# A living runner counts the lease itself, and knows of renewals that this host does not
		# see. In a session whose client detached, a runner that has not started yet can still
		# start.
		! cscs_has_runner "$2" "$job" || return
		[[ -z $cscs_away || -n $REPLY ]] || return
		cscs_sweep_job "$1" "$job" "$state"
		return
		;;
	esac
	# The files that tell how it ended stay for a while; secrets are removed.
	cscs_keep_remains "$2"
	if [[ ! -s $2/log ]] || ((cscs_age > cscs_keep_logs)); then
		local cscs_dir=$2
		cscs_remove_dir
	fi
}

# cscs_sweep_job ID JOB STATE: cancels the job of a stale session, and reports it. The directory
# stays, because the runner still has to write how it ended.
cscs_sweep_job() {
	cscs_cancel "$2"
	cscs_say swept "id=$1" "job=$2" "state=$3" "age=$cscs_age"
}

# cscs_has_runner DIRECTORY JOB: succeeds unless Slurm reports that the runner's step of the job is
# gone, or the runner never started. REPLY is that step; empty if the runner never started.
cscs_has_runner() {
	local line cscs_runner_step='' cscs_job=$2
	while IFS= read -r line; do
		[[ $line != alive"$cscs_tab"* ]] || cscs_parse_alive "$line"
	done 2>/dev/null <"$1/events"
	REPLY=$cscs_runner_step
	[[ -n $cscs_runner_step ]] && ! cscs_is_step_gone
}
