# shellcheck shell=bash
# Go, as new as go.mod asks for, on a machine that may have none. scripts/test has it from here too.

# What the scripts install for themselves alone.
GO_TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/cscs-tools
# First what was fetched because the machine's own was missing or too old.
PATH=$GO_TOOLS/bin:$PATH:/usr/local/go/bin

# go_is_new_enough REPO: there is a Go that is at least as new as REPO/go.mod asks for.
go_is_new_enough() {
	local want have
	want=$(awk '$1 == "go" {print $2}' "$1/go.mod")
	have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
	[[ $(printf '%s\n' "$want" "${have#go}" | sort -V | head -1) == "$want" ]]
}

# go_fetch REPO: Debian's Go may be years too old to fetch a toolchain by itself, but any
# Go can download a module, and the toolchain is one, checked like every other against
# the checksum database.
go_fetch() {
	local version dir
	version=$(awk '$1 == "toolchain" {print $2}' "$1/go.mod")
	version=${version:-go$(awk '$1 == "go" {print $2}' "$1/go.mod")}
	echo "go $(go env GOVERSION 2>/dev/null) is too old: fetching $version as a module" >&2
	dir=$(cd / && GOTOOLCHAIN=local GOFLAGS=-mod=mod go mod download -json \
		"golang.org/toolchain@v0.0.1-$version.linux-$(go env GOARCH)" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",\{0,1\}$/\1/p')
	if [[ ! -d $dir ]]; then
		echo "Go $version is needed and could not be fetched: see https://go.dev/doc/install" >&2
		return 1
	fi
	chmod -R u+w "$GO_TOOLS/go" 2>/dev/null || true
	rm -rf "$GO_TOOLS/go"
	mkdir -p "$GO_TOOLS/bin"
	# Module files come without their executable bits.
	cp -r "$dir" "$GO_TOOLS/go"
	chmod -R u+w "$GO_TOOLS/go"
	find "$GO_TOOLS/go/bin" "$GO_TOOLS/go/pkg/tool" -type f -exec chmod 755 {} +
	ln -sf "$GO_TOOLS/go/bin/go" "$GO_TOOLS/go/bin/gofmt" "$GO_TOOLS/bin/"
	hash -r
}
