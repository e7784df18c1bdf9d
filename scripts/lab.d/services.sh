# shellcheck shell=bash
# The services of a host, started and stopped inside it. host-init uses this
# file at boot; start-service and stop-service send it to a shell there.

# start_all KIND
start_all() {
	case $1 in
	laptop) ;;
	jump) start sshd ;;
	login)
		start sshd
		start munged
		;;
	controller)
		start munged
		if [[ -e /etc/slurm/slurmdbd.conf ]]; then
			start mariadbd
			start slurmdbd
		fi
		start slurmctld
		;;
	node)
		start sshd
		start munged
		# slurmd registers at its start, and tries again only after seconds.
		ask_until connects 6817 || :
		start slurmd
		;;
	esac
}

# start SERVICE: each of them returns when it serves, or soon after.
start() {
	case $1 in
	sshd)
		install -d -m 755 /run/sshd
		rm -f /run/sshd.pid
		/usr/sbin/sshd -E /var/log/sshd.log
		# It leaves its terminal before it listens, and writes its file after that (sshd.c, main).
		ask_until test -s /run/sshd.pid
		;;
	munged)
		install -d -o munge -g munge -m 755 /run/munge
		install -d -o munge -g munge -m 700 /var/log/munge /var/lib/munge
		setpriv --reuid munge --regid munge --init-groups munged
		;;
	mariadbd)
		install -d -o mysql -g mysql -m 755 /run/mysqld
		setsid mariadbd --user=mysql --pid-file=/run/mysqld/mariadbd.pid </dev/null &>/var/log/mariadbd.log &
		ask_until mariadb-admin --silent ping
		;;
	slurmdbd)
		install -d -o slurm -g slurm -m 755 /var/log/slurm
		slurmdbd
		ask_until connects 6819
		;;
	slurmctld)
		install -d -o slurm -g slurm -m 755 /var/lib/slurm /var/lib/slurm/slurmctld /var/log/slurm
		slurmctld
		;;
	slurmd)
		install -d -m 755 /var/spool/slurmd /var/log/slurm
		slurmd
		;;
	*)
		echo "no service $1: there are sshd, munged, slurmctld, slurmd, slurmdbd, mariadbd" >&2
		return 2
		;;
	esac
}

# ask_until COMMAND...: until it succeeds, or for 30 s.
ask_until() {
	local deadline=$((SECONDS + 30))
	until "$@" &>/dev/null; do
		if ((SECONDS >= deadline)); then
			echo "no answer in 30 s: $*" >&2
			return 1
		fi
		sleep 0.05
	done
}

# connects PORT: whether something listens there on ctl.
connects() { (exec 5<>"/dev/tcp/ctl/$1"); }

# stop SERVICE: what it has started lives on (an sshd's connections, a slurmd's
# jobs), as when the service fails.
stop() {
	local file pid
	case $1 in
	munged) file=/run/munge/munged.pid ;;
	mariadbd) file=/run/mysqld/mariadbd.pid ;;
	sshd | slurmdbd | slurmctld | slurmd) file=/run/$1.pid ;;
	*)
		echo "no service $1: there are sshd, munged, slurmctld, slurmd, slurmdbd, mariadbd" >&2
		return 2
		;;
	esac
	pid=$(cat "$file") || return
	kill "$pid"
	# slurmctld (24.11) may wait for itself forever when it is told to end while it allocates;
	# systemd's patience ends as well.
	local deadline=$((SECONDS + 6))
	while [[ -e /proc/$pid ]]; do
		((SECONDS < deadline)) || kill -KILL "$pid" 2>/dev/null || :
		sleep 0.02
	done
}
