# shellcheck shell=bash
# Accounting: slurmdbd and its database, a layer over the controller's tree.
# It is apart from the tree because most tests do without it.
#
# Only bookworm has it: MariaDB 11.8.9, which trixie and forky bring, refuses the
# first query of their slurmdbd ("Number of columns in result (=1) set execeeds maxmimum").
#
# alice has the accounts g110 (her default), g120 and spent, whose budget is
# used up; mallory has none.

ACCOUNTING_PACKAGES=(slurmdbd mariadb-server)

# accounting_layer RELEASE: the directory that lies over the tree.
accounting_layer() {
	local hash
	hash=$(cd "$LAB_SCRIPTS" && cat accounting.sh accounting-install services.sh | sha256sum)
	printf '%s/%s/%s-accounting-%s' "$LAB_ROOT" "$1" "$(recipe_hash "$1")" "${hash:0:12}"
}

install_accounting() {
	local release=$1 layer
	if [[ $release != bookworm ]]; then
		note "no accounting for $release: its slurmdbd and its MariaDB do not agree (see accounting.sh)"
		return
	fi
	layer=$(accounting_layer "$release")
	[[ ! -d $layer ]] || return 0
	note "installing ${ACCOUNTING_PACKAGES[*]} over $release (about a minute)"
	rm -rf "$layer.new"
	mkdir -p "$layer.new"/{files,work,root}
	unshare --mount --pid --uts --fork --kill-child --mount-proc --propagation private \
		bash "$LAB_SCRIPTS/accounting-install" "$(tree_of "$release")" "$layer.new" "${ACCOUNTING_PACKAGES[@]}" \
		&>"$LAB_ROOT/accounting-$release.log" ||
		die "installing accounting failed: $LAB_ROOT/accounting-$release.log"
	rm -rf "$layer.new"/{work,root}
	mv "$layer.new" "$layer"
	remove_old_trees "$LAB_ROOT/$release" ! -path "$(tree_of "$release")*"
}

# accounting_conf: what slurm.conf says of it.
accounting_conf() {
	cat <<-EOF
		AccountingStorageType=accounting_storage/slurmdbd
		AccountingStorageHost=ctl
		AccountingStorageEnforce=associations,limits,qos
		AccountingStorageTRES=gres/gpu
	EOF
}
