package owndir

import (
	"errors"

	"golang.org/x/sys/unix"
)

// HasACL reports whether a file or directory has an access control list (acl(5)). Then the group's bits
// of the mode are the maximum for each user and group of the list. It returns true if the system does not answer.
func HasACL(path string) bool {
	_, err := unix.Getxattr(path, "system.posix_acl_access", nil)
	return !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOSYS)
}
