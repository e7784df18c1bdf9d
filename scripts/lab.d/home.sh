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

# lab_readonly_home: the kernel refuses while a file there is open for writing.
lab_readonly_home() {
	case ${1:-} in
	on | off) ;;
	*) usage_error "readonly-home: usage: readonly-home on|off" ;;
	esac
	need_root
	load_state
	mount -o "remount,r$([[ $1 == on ]] && echo o || echo w)" "$LAB_RUN/home/cluster"
}
