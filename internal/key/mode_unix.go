//go:build unix

package key

import (
	"io/fs"
	"os"
	"syscall"
)

// tooOpen returns the permissions of a private key that others may read, and 0
// if all is well. Like ssh, it looks only at files of one's own: those of others
// (root's, on a shared machine) are not one's own to change.
func tooOpen(info fs.FileInfo) uint32 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Getuid() || info.Mode()&0o077 == 0 {
		return 0
	}
	return uint32(info.Mode().Perm())
}
