# shellcheck shell=bash
# JupyterLab, TensorBoard and a part of Lightning, in one virtual environment that every host of
# the cluster sees, made with the release's own Python.

VENV=/opt/venv
VENV_PACKAGES=(jupyterlab ipykernel tensorboard lightning-utilities)
# Without their dependencies: of Lightning, only its detection of Slurm is tested.
VENV_BARE_PACKAGES=(lightning-fabric)

# build_venv DIRECTORY: pip runs inside the tree, in a mount namespace of its
# own, where it finds this machine's names, certificates and pip settings.
build_venv() {
	local dir=$1
	note "installing ${VENV_PACKAGES[*]} in $VENV"
	unshare --mount --propagation private \
		bash "$LAB_SCRIPTS/venv-install" "$dir" "$VENV" "${VENV_PACKAGES[@]}" --no-deps "${VENV_BARE_PACKAGES[@]}" >"$LAB_ROOT/venv.log" 2>&1 ||
		die "installing the virtual environment failed: $LAB_ROOT/venv.log"
	install -m 755 "$LAB_SCRIPTS/write-run.py" "$dir$VENV/bin/write-run"
	sed -i "1c#!$VENV/bin/python" "$dir$VENV/bin/write-run"
}
