# shellcheck shell=bash
# The delay line between laptop and ela.

lab_cut() { on_line 0 "$@" -- cut; }
lab_heal() { on_line 0 "$@" -- heal; }
lab_rtt() { on_line 1 "$@" -- rtt; }
lab_loss() { on_line 1 "$@" -- loss; }

# on_line COUNT ARGUMENT... -- VERB
on_line() {
	local count=$1 args=()
	shift
	while [[ $1 != -- ]]; do
		args+=("$1")
		shift
	done
	[[ ${#args[@]} -eq $count ]] || usage_error "usage: cut | heal | rtt DURATION | loss PERCENT"
	need_root
	load_state
	wire "$2" "${args[@]}" >/dev/null
}
