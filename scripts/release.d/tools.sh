# shellcheck shell=bash
# The programs that make and check a release, built with this machine's Go into $GO_TOOLS (see scripts/lab.d/go.sh).
# docs/dependencies.md has the reasons.

readonly goreleaser_version=v2.15.1 cyclonedx_version=v1.10.0 actionlint_version=v1.7.12

# install_tool PACKAGE MODULE VERSION: go install, unless that version is there, and built by this release of Go: what
# goreleaser compresses depends on it.
install_tool() {
    local program=$GO_TOOLS/bin/${1##*/} go
    go=$(cd / && go env GOVERSION)
    # A package of a major version is named like its module.
    [[ $1 != */v[0-9] ]] || program=$GO_TOOLS/bin/$(basename "${1%/v[0-9]}")
    if go version -m "$program" 2>/dev/null | awk -v m="$2" -v v="$3" -v go="$go" 'NR == 1 { same = $NF == go } $1 == "mod" && $2 == m && $3 == v { found = 1 } END { exit !(found && same) }'; then return; fi
    echo "building ${program##*/} $3" >&2
    mkdir -p "$GO_TOOLS/bin"
    # Outside of the tree: its go.mod has nothing to say here.
    (cd / && CGO_ENABLED=0 GOFLAGS=-trimpath GOBIN=$GO_TOOLS/bin go install "$1@$3") >&2
}

install_release_tools() {
    go_is_new_enough . || go_fetch .
    install_tool github.com/goreleaser/goreleaser/v2 github.com/goreleaser/goreleaser/v2 "$goreleaser_version"
    install_tool github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod "$cyclonedx_version"
}

install_actionlint() {
    install_tool github.com/rhysd/actionlint/cmd/actionlint github.com/rhysd/actionlint "$actionlint_version"
}
