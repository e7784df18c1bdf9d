package regular

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// accessList is the attribute with the access control list (acl(5)).
const accessList = "system.posix_acl_access"

// copyExtended copies the extended attributes and the access control list of the file at path to f. If
// that file has no list, it removes the one that f inherited from its directory. Only the system sets
// attributes of classes other than user and system (xattr(7)).
func copyExtended(f *os.File, path string) error {
	names, err := readAttribute(func(b []byte) (int, error) { return unix.Listxattr(path, b) })
	if err != nil {
		return fmt.Errorf("keep its extended attributes: %w", err)
	}
	listed := false
	for name := range strings.SplitSeq(strings.Trim(string(names), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "system.") {
			continue
		}
		listed = listed || name == accessList
		value, err := readAttribute(func(b []byte) (int, error) { return unix.Getxattr(path, name, b) })
		if err == nil {
			err = unix.Fsetxattr(int(f.Fd()), name, value, 0)
		}
		if err != nil {
			return fmt.Errorf("keep its attribute %q: %w", name, err)
		}
	}
	if listed {
		return nil
	}
	if err := unix.Fremovexattr(int(f.Fd()), accessList); err != nil && !errors.Is(err, unix.ENODATA) && !isUnsupported(err) {
		return fmt.Errorf("keep it without an access control list: %w", err)
	}
	return nil
}

// readAttribute reads a value of unknown size. It returns nothing if the file system does not support such values.
func readAttribute(read func([]byte) (int, error)) ([]byte, error) {
	const most = 64 << 10 // XATTR_SIZE_MAX and XATTR_LIST_MAX of Linux
	value := make([]byte, most)
	n, err := read(value)
	if isUnsupported(err) {
		return nil, nil
	}
	return value[:max(n, 0)], err
}

func isUnsupported(err error) bool {
	return errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS)
}
