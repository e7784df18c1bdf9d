//go:build linux

package strangertest

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Allow gives the other user permissions for a file or directory by an access control list, as
// setfacl does. The group's bits of the mode then hold the mask (acl(5)). The group itself gets no
// permissions.
func Allow(path string, permissions, mask uint16) error {
	const all = ^uint32(0)                          // no user or group
	acl := binary.LittleEndian.AppendUint32(nil, 2) // the version (the kernel's posix_acl_xattr.h)
	for _, entry := range []struct {
		tag, permissions uint16
		id               uint32
	}{{1, 7, all}, {2, permissions, UID}, {4, 0, all}, {16, mask, all}, {32, 0, all}} {
		acl = binary.LittleEndian.AppendUint16(acl, entry.tag)
		acl = binary.LittleEndian.AppendUint16(acl, entry.permissions)
		acl = binary.LittleEndian.AppendUint32(acl, entry.id)
	}
	return unix.Setxattr(path, "system.posix_acl_access", acl, 0)
}
