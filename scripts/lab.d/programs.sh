# shellcheck shell=bash
# The lab's own programs, in Go: wire (the delay line) and enter (into a host).

# LAB_BIN is named by the sources' hash: worktrees that differ share LAB_ROOT.
lab_bin() {
	local hash
	hash=$(cat "$LAB_REPO"/internal/lab/{wire,enter}/*.go "$LAB_REPO/go.mod" | sha256sum)
	printf '%s/bin/%s' "$LAB_ROOT" "${hash:0:12}"
}

build_programs() {
	local bin
	bin=$(lab_bin)
	[[ ! -x $bin/enter || ! -x $bin/wire ]] || return 0
	command -v go >/dev/null || die "go is not in the PATH: https://go.dev/doc/install"
	note "building wire and enter"
	mkdir -p "$bin.new.$$"
	(cd "$LAB_REPO" && CGO_ENABLED=0 go build -buildvcs=false -o "$bin.new.$$/" ./internal/lab/wire ./internal/lab/enter)
	mkdir -p "$bin"
	mv "$bin.new.$$"/* "$bin/"
	rmdir "$bin.new.$$"
}
