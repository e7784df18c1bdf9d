//go:build unix

package key

import (
	"io/fs"
	"os"
	"syscall"
)

// tooOpen returns the permissions of a private key that others may read, else 0. Like ssh, it checks
// only files of this user. The user cannot change other files, such as root's on a shared machine.
func tooOpen(info fs.FileInfo) uint32 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Getuid() || info.Mode()&0o077 == 0 {
		return 0
	}
	return uint32(info.Mode().Perm())
}
