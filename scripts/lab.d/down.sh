# shellcheck shell=bash
# down: end every process of the lab, and leave nothing of it.

lab_down() {
	local began=$EPOCHREALTIME
	[[ $# -eq 0 ]] || usage_error "down: takes no arguments"
	need_root
	with_lock "$(lock_name)"
	[[ -e $LAB_RUN ]] || {
		note "nothing is up at $LAB_RUN"
		return
	}
	take_down
	lab_check_clean
	note "down in $(elapsed "$began") s"
}

# take_down works on whatever there is: also after a failed up, and twice.
take_down() {
	local pid
	# The fabric's init takes every process of the lab with it. The pattern also
	# finds one whose pid was never written down.
	for pid in $(lab_inits); do kill -KILL "$pid" 2>/dev/null || :; done
	wait_for 10 'the end of the processes' no_lab_process
	unmount_all
	rm -rf "$LAB_RUN"
}

# lab_inits: the unshare that started the fabric, and its init.
lab_inits() { pgrep -f "fabric-init ${LAB_RUN//./\\.}\$" || :; }

no_lab_process() { [[ -z $(lab_processes) ]]; }

# lab_processes: the processes that use the lab's file systems, or were started
# by it; a dead one whose parent has not collected it yet counts too.
lab_processes() {
	{
		lab_inits
		pgrep -f "host-init ${LAB_RUN//./\\.} " || :
		pgrep -f "wire serve ${LAB_RUN//./\\.}/" || :
		keys_pid
		# What runs on a host has that host's layer among its mounts. A process may end meanwhile, which is an error
		# to grep, and would end check-clean without a word.
		grep -lsF "upperdir=$LAB_RUN/" /proc/[0-9]*/mountinfo | cut -d/ -f3 || :
	} | sort -nu
}

unmount_all() {
	local mount
	awk -v run="$LAB_RUN" '$5 == run || index($5, run "/") == 1 { print $5 }' /proc/self/mountinfo | sort -r |
		while read -r mount; do umount "$mount" 2>/dev/null || umount -l "$mount"; done
}

# lab_check_clean: fail if anything of this lab is left.
lab_check_clean() {
	local left=()
	[[ ! -e $LAB_RUN ]] || left+=("directory $LAB_RUN")
	! grep -qE " ${LAB_RUN//./\\.}[/ ]" /proc/self/mountinfo || left+=("mounts below $LAB_RUN")
	no_lab_process || left+=("processes $(lab_processes | tr '\n' ' ')")
	[[ ${#left[@]} -eq 0 ]] || die "left behind: $(IFS=';' && echo "${left[*]}")"
}
