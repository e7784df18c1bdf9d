# shellcheck shell=bash
# scripts/release --check: two releases of one commit, made in different directories, at different times and with
# another umask, time zone and environment, must have the same bytes. Then it looks at what the files have.
set -euo pipefail

# The commit has both, as one that was a candidate for a release.
readonly checked_tag=v0.9.0 candidate_tag=v0.9.0-rc.1

# check_release [DIR]: the first release stays in DIR/dist; without DIR nothing stays. All in DIR is the check's own, so
# one with files is refused.
check_release() {
    local dir=${1:-}
    if [[ -z $dir ]]; then
        dir=$(mktemp -d)
        # shellcheck disable=SC2064 # the value of now
        trap "chmod -R u+w '$dir'; rm -rf '$dir'" EXIT
    fi
    [[ ! -e $dir || -d $dir && -z $(ls -A "$dir") ]] || fail "$dir is not empty: scripts/release --check NEW-DIRECTORY" 2
    mkdir -p "$dir"
    dir=$(realpath "$dir")
    check_directory "$dir"
    prepare_build
    git ls-files -z --cached --others --exclude-standard >"$dir/files"
    # The copies are of the check, so nothing of the caller's git counts.
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
    ssh-keygen -q -t ed25519 -N '' -C 'of one check' -f "$dir/key"
    export CSCS_RELEASE_KEY=$dir/key
    (umask 022 && make_copy "$dir/one" "$dir/files")
    (umask 077 && make_copy "$dir/elsewhere/two" "$dir/files")
    make_gh "$dir/gh"
    (umask 022 && cd "$dir/one" && TZ=UTC CSCS_RELEASE_KEY='' scripts/release --build "$checked_tag")
    # Where the key and the token are, nothing runs that is built.
    hand_over "$dir/one" "$dir/handed"
    (cd "$dir/handed" && PATH=$dir/gh:$PATH XDG_CACHE_HOME=$dir/none scripts/release --publish "$checked_tag")
    cp "$dir/handed/dist/checksums.txt.sig" "$dir/one/dist"
    # Files of another day. go build takes from its cache what was compiled with the same flags, which have no path.
    find "$dir/elsewhere/two" -path '*/.git' -prune -o -type f -exec touch -d '2001-02-03 04:05:06' {} +
    (
        umask 077 && cd "$dir/elsewhere/two" && git update-index -q --refresh
        make_hostile "$dir/elsewhere"
        scripts/release "$checked_tag"
    )
    compare_releases "$dir/one/dist" "$dir/elsewhere/two/dist"
    cd "$dir/one"
    check_version
    check_archives
    check_packages
    check_manifests
    check_sboms
    check_signature
    check_instructions
    check_draft "$dir/gh/told"
    check_refusals
    check_snapshot
    mv dist "$dir/dist"
    cd "$dir"
    rm -rf one elsewhere gh none key key.pub files
}

# check_directory DIR: scripts/release --check takes no directory with files, and removes none of them.
check_directory() {
    local said
    mkdir "$1/theirs"
    touch "$1/theirs/file"
    ! said=$(cd "$1" && timeout 60 "$OLDPWD/scripts/release" --check theirs 2>&1) || fail "a directory with files is taken"
    [[ -e $1/theirs/file && $said == "release: $1/theirs is not empty: "* ]] || fail "for a directory with files it says: $said"
    rm -r "$1/theirs"
    say "a directory with files is refused"
}

# make_gh DIR: a program in the place of gh, which writes its arguments to DIR/told, one on each line. Go and
# goreleaser do not work there.
make_gh() {
    local program
    mkdir -p "$1"
    printf '%s\n' '#!/bin/sh' "printf '%s\\n' \"\$@\" >'$1/told'" "cat >'$1/notes'" >"$1/gh"
    # shellcheck disable=SC2016 # for the program
    for program in go goreleaser cyclonedx-gomod; do printf '%s\n' '#!/bin/sh' 'echo "$0 runs beside the key" >&2' 'exit 1' >"$1/$program"; done
    chmod +x "$1"/*
}

# make_hostile ABOVE: what a caller may have, and what must not count. ABOVE is a directory above the tree.
make_hostile() {
    export TZ=Pacific/Kiritimati GZIP=-1 GOARCH=386 GOFLAGS=-tags=mine GOFIPS140=latest GOAMD64=v3 GORELEASER_CURRENT_TAG=$candidate_tag
    printf '%s\n' 'go 1.26' >"$1/go.work"
    printf '%s\n' 'GOFLAGS=-tags=mine' 'GOARM64=v9.0' >"$1/goenv"
    unset GOWORK
    export GOENV=$1/goenv
}

# say WHAT: a check that has passed.
say() { printf 'ok: %s\n' "$*"; }

# make_copy DIR FILES: this tree, with what is not committed yet, as a clone that has one commit with two tags. FILES has
# the names of its files.
make_copy() {
    mkdir -p "$1"
    xargs -0 tar -c --ignore-failed-read <"$2" 2>/dev/null | tar -x --no-same-permissions --no-same-owner -C "$1"
    (
        cd "$1"
        sed -i "s/^## \[Unreleased\]$/## [${checked_tag#v}] - 2026-01-02/" CHANGELOG.md
        export GIT_AUTHOR_DATE='2026-01-02T03:04:05Z' GIT_COMMITTER_DATE='2026-01-02T03:04:05Z'
        export GIT_AUTHOR_NAME=check GIT_AUTHOR_EMAIL=check@localhost GIT_COMMITTER_NAME=check GIT_COMMITTER_EMAIL=check@localhost
        git init -q -b main
        git remote add origin https://github.com/alps-tunnel/cscs # which is named, never asked
        git add -A
        # shellcheck disable=SC2154 # it is in scripts/release
        git grep -zlE "$unreleased" -- '*.md' | xargs -0 -r sed -i -E "s/$unreleased/a release is there/"
        git add -A
        git commit -q -m 'all: make a copy'
        git tag "$candidate_tag"
        git tag -a -m "$checked_tag" "$checked_tag"
    )
}

# list_sums DIST: the sums of what users get, and of the manifests. Of goreleaser's own files none has the same bytes
# twice: they have paths, and the time of the run.
list_sums() {
    (cd "$1" && find . -type f ! -name artifacts.json ! -name metadata.json ! -name config.yaml ! -name '*.log' | sort | xargs sha256sum)
}

compare_releases() {
    local one two file
    one=$(list_sums "$1") two=$(list_sums "$2")
    if [[ $one == "$two" ]]; then
        say "two builds have the same $(wc -l <<<"$one") files"
        return
    fi
    while read -r file; do
        printf 'not the same in both builds: %s\n' "$file"
        explain_difference "$1/$file" "$2/$file" || true
    done < <(comm -3 <(sort <<<"$one") <(sort <<<"$two") | awk '{ print $2 }' | sort -u) >&2
    fail "the build is not reproducible"
}

# explain_difference FILE FILE: which members of two archives differ, and how their lists do.
explain_difference() {
    local dir part path
    if command -v diffoscope >/dev/null; then diffoscope --max-report-size 20000 "$1" "$2"; return; fi
    dir=$(mktemp -d)
    for part in 1 2; do
        path=$(realpath "${!part}")
        mkdir "$dir/$part"
        case $path in
        *.tar.gz | *.apk) tar --full-time -tvzf "$path" >"$dir/$part/LIST" && tar -xzf "$path" -C "$dir/$part" ;;
        *.zip) python3 -m zipfile -l "$path" >"$dir/$part/LIST" && python3 -m zipfile -e "$path" "$dir/$part" ;;
        *.deb) dpkg-deb -c "$path" >"$dir/$part/LIST" && dpkg-deb -R "$path" "$dir/$part/files" ;;
        *.rpm) rpm -qp --dump "$path" >"$dir/$part/LIST" && rpm -qpi "$path" >"$dir/$part/INFO" ;;
        *) cp "$path" "$dir/$part/file" ;;
        esac
    done
    diff -r "$dir/1" "$dir/2" | head -40
    rm -rf "$dir"
}

# print_version: what the program in dist prints.
print_version() {
    local programs=(dist/cscs_linux_"$(go env GOARCH)"*/cscs)
    "${programs[0]}" version
}

# check_version: "cscs version" prints the tag of a release, the commit of a clone, and a clear word for source without git.
check_version() {
    local commit got source
    commit=$(git rev-parse --short=12 HEAD)
    got=$(print_version)
    [[ $got == "cscs $checked_tag (commit $commit, go"* ]] || fail "the release prints $got"
    git tag -d "$checked_tag" "$candidate_tag" >/dev/null
    go build -trimpath -buildvcs=true -o bin/clone ./cmd/cscs
    got=$(bin/clone version)
    [[ $got == "cscs v0.0.0-20260102030405-$commit (commit $commit, go"* ]] || fail "a clone prints $got"
    git tag "$checked_tag"
    source=$(mktemp -d)
    git archive HEAD | tar -x -C "$source"
    (cd "$source" && go build -trimpath -o cscs ./cmd/cscs)
    got=$("$source/cscs" version)
    rm -rf "$source"
    [[ $got == 'cscs devel (commit unknown, go'* ]] || fail "source without git prints $got"
    say "cscs version prints the tag, the commit, or devel"
}

# list_man BEFORE AFTER: the pages with their directories, between these words.
list_man() { (cd bin/release/man && printf "$1%s$2\n" */*); }

check_archives() {
    local system name want got exe list
    for system in linux_amd64 linux_arm64 darwin_amd64 darwin_arm64 windows_amd64 windows_arm64; do
        name=cscs_${checked_tag#v}_$system exe=cscs
        case $system in
        windows*) exe=cscs.exe list=$(python3 -c 'import sys, zipfile; print("\n".join(zipfile.ZipFile(sys.argv[1]).namelist()))' "dist/$name.zip") ;;
        *) list=$(tar -tzf "dist/$name.tar.gz") ;;
        esac
        got=$(grep -v '/$' <<<"$list" | sort)
        want=$({ printf "$name/%s\n" "$exe" README.md LICENSE CHANGELOG.md THIRD_PARTY_LICENSES completions/{cscs.bash,_cscs,cscs.fish,cscs.ps1} && list_man "$name/man/" ''; } | sort)
        diff <(echo "$want") <(echo "$got") >&2 || fail "$name has other members than it should (< wanted, > there)"
    done
    grep -q "cscs $checked_tag" bin/release/man/man1/cscs-run.1 || fail "the man pages do not have the version $checked_tag"
    grep -q 'github.com/spf13/cobra@' bin/release/THIRD_PARTY_LICENSES || fail "THIRD_PARTY_LICENSES does not name cobra"
    # What a report of a crash needs: the commit, and the versions of the modules.
    go version -m "$(echo dist/cscs_windows_arm64*/cscs.exe)" | grep -Eq 'vcs.revision=[0-9a-f]{40}' || fail "the program for windows/arm64 does not have its commit"
    say "six archives have the program, man pages, completions and licences"
}

# list_packaged ZSH: where a package must have its files.
list_packaged() {
    { printf '/usr/%s\n' bin/cscs share/doc/cscs/{copyright,THIRD_PARTY_LICENSES,CHANGELOG.md,README.md} share/bash-completion/completions/cscs \
        share/fish/vendor_completions.d/cscs.fish "share/zsh/$1/_cscs" && list_man /usr/share/man/ .gz; } | sort
}

check_packages() {
    local arch file base=dist/cscs_${checked_tag#v}_linux
    for arch in amd64 arm64; do
        file=${base}_$arch
        diff <(list_packaged vendor-completions) <(dpkg-deb --fsys-tarfile "$file.deb" | tar -t | sed 's,^\.*/*,/,' | grep -v '/$' | sort) >&2 || fail "$file.deb has other files than it should"
        diff <(list_packaged site-functions) <(rpm -qp --qf '[%{FILEMODES:perms} %{FILENAMES}\n]' "$file.rpm" 2>/dev/null | sed -n 's/^-[^ ]* //p' | sort) >&2 || fail "$file.rpm has other files than it should"
        diff <(list_packaged site-functions) <(tar -tzf "$file.apk" 2>/dev/null | sed -n 's,^usr/,/usr/,p' | grep -v '/$' | sort) >&2 || fail "$file.apk has other files than it should"
    done
    say "deb, rpm and apk have their files in the places of the system"
}

# check_manifests: each sum in a manifest is that of the archive that it names.
check_manifests() {
    local file count
    for file in homebrew/Formula/cscs.rb:4 scoop/cscs.json:2 "winget/manifests/a/AlpsTunnel/cscs/${checked_tag#v}/AlpsTunnel.cscs.installer.yaml:2"; do
        count=${file##*:} file=dist/${file%:*}
        [[ -f $file ]] || fail "$file is missing"
        python3 - "$file" "$count" <<-'END' || fail "$file: see above"
			import re, sys
			sums = dict(reversed(line.split()) for line in open("dist/checksums.txt"))
			text = open(sys.argv[1]).read()
			# The address and the sum come in either order, so each name has the nearest sum behind it, as in all three forms.
			found = re.findall(r'github\.com/alps-tunnel/cscs/releases/download/v0\.9\.0/(\S+?)["\s].*?\b([0-9a-fA-F]{64})\b', text, re.S)
			for name, digest in found:
			    if sums[name] != digest.lower():
			        sys.exit("%s has another sum than %s" % (name, digest))
			if len(found) != int(sys.argv[2]):
			    sys.exit("%d archives, not %s" % (len(found), sys.argv[2]))
		END
    done
    say "Homebrew's formula, Scoop's and winget's manifests have the archives' sums"
}

check_sboms() {
    local file count=0 want
    want=$(go list -m -f '{{.Version}}' github.com/spf13/cobra)
    for file in dist/*.cdx.json; do
        jq -e --arg want "$want" --arg version "$checked_tag" '.bomFormat == "CycloneDX" and .metadata.component.version == $version
            and any(.components[]; .name == "github.com/spf13/cobra" and .version == $want) and any(.components[]; .name == "std")' "$file" >/dev/null ||
            fail "$file does not have cscs $checked_tag, cobra $want and the standard library"
        jq -e '.metadata.tools and ([.metadata.tools | .. | objects | select(has("hashes"))] == [])' "$file" >/dev/null || fail "$file has the sum of a program that each machine builds"
        count=$((count + 1))
    done
    ((count == 6)) || fail "$count SBOMs, not six"
    say "six SBOMs name the modules"
}

# check_signature: a file that was changed, or checksums that were, are found.
check_signature() {
    local copy
    copy=$(mktemp -d)
    cp -r dist "$copy/dist"
    (cd "$copy" && verify_signature "$(<"$CSCS_RELEASE_KEY.pub")")
    echo >>"$copy/dist/cscs_${checked_tag#v}_linux_amd64.deb"
    ! (cd "$copy" && verify_signature "$(<"$CSCS_RELEASE_KEY.pub")") >/dev/null 2>&1 || fail "a changed package passes"
    (cd "$copy/dist" && sha256sum -- *.deb >checksums.txt)
    ! (cd "$copy" && verify_signature "$(<"$CSCS_RELEASE_KEY.pub")") >/dev/null 2>&1 || fail "changed checksums pass"
    rm -rf "$copy"
    # Users get what the documentation has them check.
    [[ $(wc -l <dist/checksums.txt) == "$(find dist -maxdepth 1 -name 'cscs_*' -type f | wc -l)" ]] || fail "dist/checksums.txt does not have every file"
    say "the signature is good, and a changed file or list of checksums is found"
}

# hand_over ONE OTHER: a copy of the tree ONE whose dist has what the workflow hands from one job to the other.
hand_over() {
    local pattern
    cp -a "$1" "$2"
    rm -rf "$2/dist"
    mkdir "$2/dist"
    sed -n 's,^ *dist/\([^ ]*\)$,\1,p' "$1/.github/workflows/release.yml" | while read -r pattern; do
        # shellcheck disable=SC2086 # a pattern
        cp "$1"/dist/$pattern "$2/dist"
    done
}

# print_block WORDS: the commands of docs/install.md that have these words.
print_block() {
    awk -v words="$1" '/^```sh$/ { inside = 1; text = ""; next }
        /^```$/ { if (inside && index(text, words)) printf "%s", text; inside = 0 }
        inside { text = text $0 "\n" }' docs/install.md
}

# check_instructions: the commands of docs/install.md verify a download, and install an archive, as they are there.
check_instructions() {
    local home said file
    home=$(mktemp -d)
    cp dist/*_linux_amd64.tar.gz dist/checksums.txt* "$home"
    printf 'cscs-release %s\n' "$(<"$CSCS_RELEASE_KEY.pub")" >"$home/signers"
    print_block 'ssh-keygen -Y verify' >"$home/verify"
    print_block 'tar -xzf' >"$home/install"
    said=$(cd "$home" && bash -euo pipefail verify) || fail "docs/install.md does not verify: $said"
    [[ $said == *'Good "file" signature for cscs-release'*'linux_amd64.tar.gz: OK'* ]] || fail "the commands of docs/install.md that verify print $said"
    (cd "$home" && HOME=$home bash -euo pipefail install) || fail "the commands of docs/install.md that install an archive fail"
    for file in .local/bin/cscs .local/share/man/man1/cscs-run.1 .local/share/bash-completion/completions/cscs .config/fish/completions/cscs.fish; do
        [[ -s $home/$file ]] || fail "the commands of docs/install.md do not install ~/$file"
    done
    [[ -x $home/.local/bin/cscs ]] || fail "docs/install.md does not install a program"
    rm -rf "$home"
    say "the commands of docs/install.md verify a download and install an archive"
}

# check_refusals: what is missing for a release is said in one line. The commit has $checked_tag before and after.
check_refusals() {
    refuse 'the key that signs the release is missing: ' env CSCS_RELEASE_KEY='' scripts/release
    git tag "$candidate_tag"
    refuse 'this commit has several tags (v0.9.0 v0.9.0-rc.1)' scripts/release
    refuse "dist has v0.9.0 of the commit $(git rev-parse HEAD), not v0.9.0-rc.1" scripts/release --publish "$candidate_tag"
    git tag -d "$candidate_tag" >/dev/null
    refuse 'this commit has not the tag v0.9.1, but v0.9.0' scripts/release --build v0.9.1
    mv dist/metadata.json metadata.json
    refuse 'dist has no release' scripts/release --publish
    mv metadata.json dist
    printf '%s\n' "${unreleased%%|*}" >>README.md
    refuse "documents say that there is no release yet: change README.md:$(wc -l <README.md)," scripts/release --build
    git checkout -q README.md
    git tag v0.9.1 && git tag -d "$checked_tag" >/dev/null
    refuse 'CHANGELOG.md has no section "## [0.9.1]"' scripts/release
    git tag -d v0.9.1 >/dev/null
    refuse 'this commit has no tag ' scripts/release
    git tag "$checked_tag"
    say "a release without a key, a clear tag, its files or documents is refused"
}

# refuse WORDS COMMAND...: it fails, and says that.
refuse() {
    local words=$1 said
    shift
    ! said=$("$@" 2>&1) || fail "$* does not fail: $words"
    [[ $said == "release: $words"* ]] || fail "$* says: $said, not: $words"
}

# check_draft TOLD: gh was told to make a draft with every file.
check_draft() {
    diff <(printf '%s\n' release create "$checked_tag" --draft --verify-tag --title "$checked_tag" && awk '{ print "dist/" $2 }' dist/checksums.txt && printf 'dist/checksums.txt%s\n' '' .sig) \
        <(sed '/^--notes-file$/,+1d' "$1") >&2 || fail "the draft has other files than it should (< wanted, > there)"
    grep -q '^### Added' "${1%/*}/notes" || fail "the draft does not have the section of CHANGELOG.md"
    say "the draft on GitHub gets every file"
}

# check_snapshot: of a commit without a tag, in a tree that is not clean.
check_snapshot() {
    mv dist release
    git tag -d "$checked_tag" >/dev/null
    echo >>README.md
    scripts/release --snapshot >/dev/null
    [[ $(print_version) == "cscs v0.0.1-pre1767323045 (commit $(git rev-parse --short=12 HEAD), modified, go"* ]] ||
        fail "a snapshot prints $(print_version)"
    grep -q 'cscs v0.0.1.*pre1767323045' bin/release/man/man1/cscs-run.1 || fail "the man pages do not have the version of the snapshot"
    rm -rf dist && mv release dist
    say "scripts/release --snapshot makes a snapshot"
}
