# shellcheck shell=bash
# A layer over the tree for uenv and containers: the SPANK plugin that gives srun their options
# (spank.c), uenvs and images. It takes 3 s to make, so it is no part of the tree.

# engine_layer RELEASE: the directory that lies over the tree.
engine_layer() {
	local hash
	hash=$(cd "$LAB_SCRIPTS" && cat spank.sh spank.c edf.py | sha256sum)
	printf '%s/%s/%s-engine-%s' "$LAB_ROOT" "$1" "$(recipe_hash "$1")" "${hash:0:12}"
}

build_engine() {
	local release=$1 layer new
	layer=$(engine_layer "$release")
	[[ ! -d $layer ]] || return 0
	new=$layer.new.$$
	mkdir -p "$new/user-environment"
	build_spank "$(tree_of "$release")" "$new"
	make_uenvs "$new"
	make_images "$(tree_of "$release")" "$new/opt/images"
	# Another lab may have been quicker.
	mv -T "$new" "$layer" 2>/dev/null || rm -rf "$new"
}

# build_spank TREE LAYER: compiled against the release's own headers, for Slurm
# refuses a plugin of another version. Only slurm/ is taken from the tree: its
# libc's headers may be newer than this machine's libc.
build_spank() {
	local dir=$1 layer=$2 include to=/usr/lib/slurm-cscs-lab
	include=$(mktemp -d)
	ln -s "$dir/usr/include/slurm" "$include/slurm"
	mkdir -p "$layer$to" "$layer/etc/slurm"
	gcc -Wall -Wextra -Werror -O1 -shared -fPIC -I "$include" -o "$layer$to/cscs.so" "$LAB_SCRIPTS/spank.c" ||
		die "the SPANK plugin does not compile"
	rm -r "$include"
	install -m 755 "$LAB_SCRIPTS/edf.py" "$layer$to/edf"
	echo "required $to/cscs.so" >"$layer/etc/slurm/plugstack.conf"
}

# make_uenvs LAYER: each has its views' programs, and a Python module that tells where it is from.
make_uenvs() {
	local name view dir
	for name in prgenv-gnu pytorch jupyterlab; do
		for view in default modules spack; do
			dir=$1/opt/uenv/$name/env/$view
			mkdir -p "$dir/bin" "$dir/lib/python/site-packages"
			printf '#!/bin/sh\necho %s %s\n' "$name" "$view" >"$dir/bin/which-view"
			chmod 755 "$dir/bin/which-view"
			echo 'ORIGIN = "uenv"' >"$dir/lib/python/site-packages/shadowed.py"
		done
	done
}

# make_images TREE DIRECTORY: root file systems. debian is the release's, whose /etc/profile resets PATH;
# bare has sh and nothing else. Both have a PATH of their own, and neither has /home or /users.
make_images() {
	local tree=$1 dir=$2 link lib
	mkdir -p "$dir/debian"/{opt/image/bin,opt/venv,var,run} "$dir/bare"/{bin,etc}
	# Links cost neither time nor room, and no lab writes to a tree.
	cp -al "$tree/usr" "$dir/debian/usr"
	cp -a "$tree/etc" "$dir/debian/etc"
	for link in bin sbin lib lib64; do [[ ! -L $tree/$link ]] || cp -a "$tree/$link" "$dir/debian/$link"; done
	printf '#!/bin/sh\necho image\n' >"$dir/debian/opt/image/bin/which-image"
	chmod 755 "$dir/debian/opt/image/bin/which-image"
	echo 'PATH=/opt/image/bin:/usr/local/bin:/usr/bin:/bin' >"$dir/debian/etc/environment"
	cp -L "$tree/bin/dash" "$dir/bare/bin/sh"
	while read -r lib; do
		mkdir -p "$dir/bare${lib%/*}"
		cp -L "$tree$lib" "$dir/bare$lib"
	done < <(chroot "$tree" ldd /bin/dash | grep -oE '/[^ ]+')
	echo 'PATH=/bin' >"$dir/bare/etc/environment"
	printf '127.0.0.1 localhost\n' | tee "$dir/bare/etc/hosts" >"$dir/debian/etc/hosts"
}
