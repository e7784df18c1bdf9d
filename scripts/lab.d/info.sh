# shellcheck shell=bash
# status, env, help: what there is.

lab_status() {
	local host pid
	load_state
	printf 'release %s, %s nodes, %s\n' "$RELEASE" "$NODES" "$LAB_RUN"
	printf 'line    %s\n' "$(wire status)"
	for host in $(all_hosts); do
		pid=$(host_pid "$host")
		if [[ -z $pid ]]; then
			printf '%-10s down\n' "$host"
		elif serving "$host"; then
			printf '%-10s serving, pid 1 is %s\n' "$host" "$pid"
		else
			printf '%-10s running, not serving, pid 1 is %s\n' "$host" "$pid"
		fi
	done
	in_host ctl squeue -a -o '%.8i %.10P %.20j %.8u %.12T %.6D %R' 2>/dev/null || printf 'slurmctld does not answer\n'
}

# lab_env: shell assignments for tests: eval "$(scripts/lab env)".
lab_env() {
	local host
	load_state
	printf '%s=%q\n' \
		LAB_RUN "$LAB_RUN" \
		LAB_ROOT "$LAB_ROOT" \
		LAB_RELEASE "$RELEASE" \
		LAB_TREE "$TREE" \
		LAB_NODES "$(node_names | paste -sd' ')" \
		LAB_HOSTS "$(all_hosts | paste -sd' ')" \
		LAB_VENV "$VENV" \
		LAPTOP_HOME "$LAB_RUN/home/laptop/alice" \
		CLUSTER_HOME "$LAB_RUN/home/cluster/alice" \
		ELA_HOME "$LAB_RUN/home/ela/alice" \
		LAPTOP_HOMES "$LAB_RUN/home/laptop" \
		CLUSTER_HOMES "$LAB_RUN/home/cluster" \
		LAB_USER_CA "$LAB_RUN/ca/user_ca" \
		LAB_HOST_CA "$LAB_RUN/ca/host_ca" \
		LAB_HOST_CA_PUB "$LAB_RUN/ca/host_ca.pub"
	for host in $(all_hosts); do
		printf 'LAB_PID_%s=%q\n' "$host" "$(host_pid "$host")"
		[[ $host == laptop ]] || printf 'LAB_HOSTKEY_%s=%q\n' "$host" "$(host_etc "$host")/ssh/$(host_key "$host").pub"
	done
}

lab_help() {
	cat <<-'EOF'
		scripts/lab VERB: a small Alps on this machine (docs/lab.md)

		  install [--release R | --all] [--accounting]   what is needed, once; R: bookworm, trixie (default), forky
		  up [--release R] [--rtt 20ms] [--nodes 3] [--accounting] [--tcp-buckets N]
		  down                            and leave nothing
		  try                             install, up, and cscs run-jupyter as alice on the laptop
		  status | env                    for people | for tests: eval "$(scripts/lab env)"

		  as USER HOST [VAR=VALUE...] CMD...   run CMD as alice or mallory
		  in HOST CMD...                       run CMD as root
		  cert USER [VALIDITY] [--principal P] [--key PATH]   sign a key (default +1d; -2h:-1h is expired)

		  expose PORT                          make a port of the laptop's answer on this machine
		  cut | heal | rtt D | loss PERCENT    the line between laptop and ela
		  crash HOST | boot HOST               the power goes | is back
		  stop-service | start-service HOST sshd|munged|slurmctld|slurmd
		  keys on|off                     the key service, which the laptop alone reaches
		  fill-home on|off | readonly-home on|off   the cluster's home file system
		  slow-home on|off HOST [MS]      each call there takes 200 ms, in processes that start now
		  login-node daint|daint2         where the common name of the login nodes leads

		  selftest [--release R] [--accounting]          tests of the lab itself
		  check-clean                     fail if anything of a lab is left

		Hosts: laptop, ela, daint, daint2, ctl (slurmctld), nid001001 and on.
		CSCS_LAB_RUN (/run/cscs-lab) is the running lab: give each its own to run several at once.
		CSCS_LAB_ROOT (/var/lib/cscs-lab) is what install makes; all labs share it.
	EOF
}
