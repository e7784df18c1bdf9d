# shellcheck shell=bash
# selftest: the lab's own tests, in a lab of its own beside any other.

lab_selftest() {
	local release=trixie accounting=
	while [[ $# -gt 0 ]]; do
		case $1 in
		--release) release=${2:-} && shift ;;
		--accounting) accounting=--accounting ;;
		*) usage_error "selftest: usage: selftest [--release R] [--accounting]" ;;
		esac
		shift || usage_error "selftest: the last option lacks its value"
	done
	is_release "$release" || usage_error "selftest: no release '$release': there are ${LAB_RELEASES[*]}"
	need_root
	# A run directory of its own: the tests crash hosts.
	exec env CSCS_LAB_RUN="/run/cscs-lab-selftest-$$" bash "$LAB_SCRIPTS/selftest" "$LAB_REPO/scripts/lab" "$release" "$accounting"
}
