# shellcheck shell=bash
# The lab's own programs, in Go: wire (the delay line) and enter (into a host).

# LAB_BIN is named by the sources' hash: worktrees that differ share LAB_ROOT.
lab_bin() {
	local hash
	hash=$(cat "$LAB_REPO"/internal/lab/{wire,enter}/*.go "$LAB_REPO/go.mod" | sha256sum)
	printf '%s/bin/%s\n' "$LAB_ROOT" "${hash:0:12}"
}

build_programs() {
	local bin
	bin=$(lab_bin)
	[[ ! -x $bin/enter || ! -x $bin/wire ]] || return 0
	need_go
	note "building wire and enter"
	mkdir -p "$bin.new.$$"
	(cd "$LAB_REPO" && CGO_ENABLED=0 go build -buildvcs=false -o "$bin.new.$$/" ./internal/lab/wire ./internal/lab/enter)
	mkdir -p "$bin"
	mv "$bin.new.$$"/* "$bin/"
	rmdir "$bin.new.$$"
}

# need_go: a Go that can build what is in this repository.
need_go() {
	go_is_new_enough "$LAB_REPO" && return
	command -v go >/dev/null || without_services apt_install golang-go
	go_fetch "$LAB_REPO" || exit 1
}
