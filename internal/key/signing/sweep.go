package signing

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/alps-tunnel/cscs/internal/regular"
)

// The kinds of files that a batch puts beside a key while it works.
const (
	kindStaged = "staged" // a new file
	kindCopy   = "copy"   // a copy that becomes kindOld; may be incomplete
	kindOld    = "old"    // a replaced file
)

// parts are the files of a key, in the order in which commit renames them.
var parts = []struct {
	suffix, name string // of the path, and in the names of a batch
	mode         fs.FileMode
}{privatePart: {"", "file", 0o600}, publicPart: {".pub", "pub", 0o644}, certPart: {"-cert.pub", "cert", 0o644}}

// The indexes in parts.
const (
	privatePart = iota // also the part of a batch that replaces no key but one other file
	publicPart
	certPart
)

// fileName returns a name that no other program and no other key uses, because sweepLeftovers removes
// files of such names.
func (b *batch) fileName(dir, kind string, part int) string {
	return filepath.Join(dir, fmt.Sprintf(".cscs-%s-%s-%s-%s", kind, hashOf(b.path), b.id, parts[part].name))
}

var leftover = regexp.MustCompile(`^\.cscs-(staged|copy|old)-([0-9a-f]{8})-([a-z2-7]{8})-(file|pub|cert)$`)

// hashOf identifies a key in the names of its files.
func hashOf(realPath string) string {
	sum := sha256.Sum256([]byte(realPath))
	return fmt.Sprintf("%x", sum[:4])
}

// sweepLeftovers removes the files that a killed process has left beside the key at path. It restores,
// and reports, what an incomplete batch has replaced. Its caller holds the lock. The error is a *WriteError.
func sweepLeftovers(path string) (restored bool, err error) {
	type file struct{ name, kind, id, part string }
	var left []file
	incomplete := map[string]time.Time{} // incomplete batches, and when the last staged file of each was written
	path = realPath(path)
	var dirs []string
	for _, p := range parts {
		if dir := filepath.Dir(realPath(path + p.suffix)); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			m := leftover.FindStringSubmatch(e.Name())
			if m == nil || m[2] != hashOf(path) {
				continue
			}
			f := file{filepath.Join(dir, e.Name()), m[1], m[3], m[4]}
			info, err := os.Lstat(f.name)
			if err != nil || !isOwn(info) {
				continue
			}
			left = append(left, f)
			if last, ok := incomplete[f.id]; f.kind == kindStaged && (!ok || info.ModTime().After(last)) {
				incomplete[f.id] = info.ModTime()
			}
		}
	}
	// Restore first: the staged files mark the batch as incomplete and must outlast this loop.
	for _, f := range left {
		if f.kind != kindOld {
			continue
		}
		live := path
		for _, p := range parts {
			if p.name == f.part {
				live = realPath(path + p.suffix)
			}
		}
		last, half := incomplete[f.id]
		if info, err := os.Stat(live); err == nil && info.ModTime().After(last) {
			half = false // the user has written it since, by hand
		}
		switch {
		case regular.Same(f.name, live):
			_ = os.Remove(f.name)
		case half:
			if err := os.Rename(f.name, live); err != nil {
				return restored, &WriteError{Path: live, Err: regular.Reason(err)}
			}
			restored = true
		default:
			eraseFile(f.name)
		}
	}
	for _, f := range left {
		if f.kind != kindOld {
			eraseFile(f.name)
		}
	}
	return restored, nil
}

// eraseFile removes a file of a batch. It empties the file first, since that may be a private key. A
// file with another name is in use and keeps its content.
func eraseFile(name string) {
	info, err := os.Lstat(name)
	if err != nil || !isOwn(info) {
		return
	}
	if f, err := openForErase(name); err == nil {
		if info, err := f.Stat(); err == nil && isOwn(info) && hasOneName(info) {
			_ = f.Truncate(0)
		}
		_ = f.Close()
	}
	_ = os.Remove(name)
}
