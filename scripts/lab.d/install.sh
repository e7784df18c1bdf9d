# shellcheck shell=bash
# install: everything that is slow, once. A tree is made under another name
# and renamed when it is complete, with the recipe's hash in its stamp.

lab_install() {
	local releases=()
	while [[ $# -gt 0 ]]; do
		case $1 in
		--release)
			is_release "${2:-}" || usage_error "install: no release '${2:-}': there are ${LAB_RELEASES[*]}"
			releases+=("$2")
			shift 2
			;;
		--all)
			releases=("${LAB_RELEASES[@]}")
			shift
			;;
		*) usage_error "install: usage: install [--release R | --all]" ;;
		esac
	done
	[[ ${#releases[@]} -gt 0 ]] || releases=(trixie)
	need_root
	with_lock install
	install_host_packages
	build_programs
	local release
	for release in "${releases[@]}"; do install_release "$release"; done
}

# recipe_hash RELEASE: changes when what would be built changes.
recipe_hash() {
	local hash
	hash=$(cd "$LAB_SCRIPTS" && echo "$1" | cat - tree.sh venv.sh venv-install write-run.py spank.sh spank.c | sha256sum)
	printf '%s' "${hash:0:16}"
}

installed() { [[ $(cat "$(tree_of "$1")/.cscs-lab-recipe" 2>/dev/null) == "$(recipe_hash "$1")" ]]; }

install_release() {
	local release=$1 tree new
	! installed "$release" || return 0
	tree=$(tree_of "$release")
	new=$tree.new
	rm -rf "$new"
	build_tree "$release" "$new"
	recipe_hash "$release" >"$new/.cscs-lab-recipe"
	# A running lab may still use the old tree: its files stay until unmounted.
	if [[ -e $tree ]]; then
		rm -rf "$tree.old"
		mv "$tree" "$tree.old"
	fi
	mv "$new" "$tree"
	rm -rf "$tree.old"
	note "$release is installed in $tree"
}
