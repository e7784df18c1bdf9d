# shellcheck shell=bash
# install: everything that is slow, once. A tree is made under another name
# and renamed when it is complete.

lab_install() {
	local releases=() accounting=
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
		--accounting)
			accounting=yes
			shift
			;;
		*) usage_error "install: usage: install [--release R | --all] [--accounting]" ;;
		esac
	done
	[[ ${#releases[@]} -gt 0 ]] || releases=(trixie)
	need_root
	with_lock install
	install_host_packages
	build_programs
	local release
	for release in "${releases[@]}"; do
		install_release "$release"
		[[ -z $accounting ]] || install_accounting "$release"
	done
}

install_release() {
	local release=$1 tree
	! installed "$release" || return 0
	tree=$(tree_of "$release")
	mkdir -p "$LAB_ROOT/$release"
	remove_tree "$tree.new"
	build_tree "$release" "$tree.new"
	mv "$tree.new" "$tree"
	remove_old_trees "$LAB_ROOT/$release" ! -path "$tree*"
	note "$release is installed in $tree"
}
