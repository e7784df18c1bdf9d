# shellcheck shell=bash
# The SPANK plugin that gives srun --uenv, --view and --environment (spank.c).

# build_spank DIRECTORY: compiled against the release's own headers, for Slurm
# refuses a plugin of another version. Only slurm/ is taken from the tree: its
# libc's headers may be newer than this machine's libc.
build_spank() {
	local dir=$1 include to
	include=$(mktemp -d)
	ln -s "$dir/usr/include/slurm" "$include/slurm"
	to=/usr/lib/slurm-cscs-lab
	mkdir -p "$dir$to"
	gcc -Wall -Wextra -Werror -O1 -shared -fPIC -I "$include" -o "$dir$to/cscs.so" "$LAB_SCRIPTS/spank.c" ||
		die "the SPANK plugin does not compile"
	rm -r "$include"
	echo "required $to/cscs.so" >"$dir/etc/slurm/plugstack.conf"
}
