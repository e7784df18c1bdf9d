# shellcheck shell=bash
# The cluster's home file system, full or read-only.

lab_fill_home() {
	local used
	case ${1:-} in
	on)
		need_root
		load_state
		# Full is what has no room left: no memory is spent on filling it.
		used=$(df --output=used --block-size=1K "$LAB_RUN/home/cluster" | tail -1)
		mount -o "remount,size=$((used > 4 ? used : 4))k" "$LAB_RUN/home/cluster"
		;;
	off)
		need_root
		load_state
		mount -o "remount,size=$HOME_SIZE" "$LAB_RUN/home/cluster"
		;;
	*) usage_error "fill-home: usage: fill-home on|off" ;;
	esac
}

# lab_readonly_home on|off [HOST]: for all hosts of the cluster, which the kernel refuses while
# a file there is open for writing, or for one of them.
lab_readonly_home() {
	local mode
	case ${1:-} in
	on) mode=ro ;;
	off) mode=rw ;;
	*) usage_error "readonly-home: usage: readonly-home on|off [HOST]" ;;
	esac
	need_root
	load_state
	if [[ -n ${2:-} ]]; then
		lab_in "$2" mount -o "remount,bind,$mode" /home
	else
		mount -o "remount,$mode" "$LAB_RUN/home/cluster"
	fi
}

# lab_slow_home on|off HOST [MILLISECONDS]: each call on a path below the homes takes so long (200), in processes
# that start from now on.
lab_slow_home() {
	local root
	[[ ${1:-} == @(on|off) && $# -ge 2 && ${3:-200} =~ ^[0-9]+$ ]] || usage_error "slow-home: usage: slow-home on|off HOST [MILLISECONDS]"
	need_root
	load_state
	root=/proc/$(need_running "$2")/root
	if [[ $1 == on ]]; then
		gcc -Wall -Wextra -Werror -O1 -shared -fPIC -DMILLISECONDS="${3:-200}" -o "$root/usr/lib/slow-home.so" "$LAB_SCRIPTS/slow-home.c"
		echo /usr/lib/slow-home.so >"$root/etc/ld.so.preload"
	else
		rm -f "$root/etc/ld.so.preload"
	fi
}

# lab_lose_home on|off HOST: the host has an empty directory where the homes were.
lab_lose_home() {
	[[ $# -eq 2 ]] || usage_error "lose-home: usage: lose-home on|off HOST"
	need_root
	load_state
	case $1 in
	on) lab_in "$2" mount -t tmpfs -o mode=755,size=4k lost /home ;;
	off) lab_in "$2" umount --lazy /home ;;
	*) usage_error "lose-home: usage: lose-home on|off HOST" ;;
	esac
}
