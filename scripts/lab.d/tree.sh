# shellcheck shell=bash
# A tree: the root file system of the cluster's hosts, one for each release and
# recipe. The recipe's hash is in its name, so that worktrees whose recipes
# differ do not rebuild each other's, and no running lab loses its own.

TREE_PACKAGES=(
	slurm-wlm slurmctld slurmd slurm-client libslurm-dev munge libpam-slurm-adopt
	openssh-server openssh-client
	python3 python3-venv curl ca-certificates
	iproute2 procps psmisc util-linux less
	zsh tcsh fish
)

tree_of() { printf '%s/%s/%s' "$LAB_ROOT" "$1" "$(recipe_hash "$1")"; }

# recipe_hash RELEASE: changes when what would be built changes.
recipe_hash() {
	local hash
	hash=$(cd "$LAB_SCRIPTS" && echo "$1" | cat - tree.sh venv.sh venv-install write-run.py | sha256sum)
	printf '%s' "${hash:0:12}"
}

# installed RELEASE: a tree that has its name is complete.
installed() { [[ -d $(tree_of "$1") ]]; }

# mirror: where this machine itself gets Debian from; on another distribution,
# CSCS_LAB_MIRROR says.
mirror() {
	if [[ -n ${CSCS_LAB_MIRROR:-} ]]; then
		echo "$CSCS_LAB_MIRROR"
		return
	fi
	# shellcheck disable=SC2016 # for apt to expand
	apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
		awk '$1 !~ /security/ && $1 ~ /debian/ { print $1; exit }'
}

# build_tree RELEASE DIRECTORY
build_tree() {
	local release=$1 dir=$2 script=() from
	from=$(mirror)
	[[ -n $from ]] || die "apt has no Debian mirror configured: set CSCS_LAB_MIRROR to the URL of one"
	# debootstrap of an older Debian does not know the names of newer ones.
	[[ -e /usr/share/debootstrap/scripts/$release ]] || script=(/usr/share/debootstrap/scripts/sid)
	note "building the tree of $release from $from (about a minute)"
	debootstrap --variant=minbase --include="$(IFS=, && echo "${TREE_PACKAGES[*]}")" \
		"$release" "$dir" "$from" "${script[@]}" >"$LAB_ROOT/debootstrap-$release.log" 2>&1 ||
		die "debootstrap failed: $LAB_ROOT/debootstrap-$release.log"
	rm -rf "$dir"/var/cache/apt/archives/*.deb "$dir"/var/lib/apt/lists/*
	add_users "$dir"
	tree_site_files "$dir"
	build_venv "$dir"
}

# add_users DIRECTORY: password-less users; their homes are the lab's.
# "*" is no password, and unlike "!" no locked account, which sshd refuses.
add_users() {
	local dir=$1 user
	for user in "${LAB_USERS[@]}"; do
		chroot "$dir" useradd --uid "${user#*:}" --user-group --shell /bin/bash --password '*' \
			--home-dir "/home/${user%:*}" --no-create-home "${user%:*}"
	done
}

# tree_site_files DIRECTORY: what CSCS presets for every user, so that nothing
# relies on Slurm's default output.
tree_site_files() {
	cat >"$1/etc/profile.d/cscs.sh" <<-'EOF'
		export SQUEUE_FORMAT='%.10i %.12j %.8u %.10a %.2t %.19S %.10l %.6D %R'
		export SINFO_FORMAT='%9P %5a %10l %6D %6t %N'
		export SLURM_TIME_FORMAT=relative
		export CLUSTER_NAME=daint
	EOF
	# A module command that, as on many systems, interactive shells alone know.
	cat >"$1/etc/profile.d/modules.sh" <<-'EOF'
		case $- in
		*i*) module() { echo "module $*" >&2; } ;;
		esac
	EOF
}
