package owndir

import (
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Rights with which a user can change a file, or replace one in a directory. Users may create files in
// %ProgramData%, but such a file belongs to its creator.
const (
	changeObject = windows.DELETE | windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_ALL
	changeFile   = changeObject | windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | windows.GENERIC_WRITE
	changeDir    = changeObject | fileDeleteChild

	fileDeleteChild = 0x40 // winnt.h
)

// FindRootFile returns path. It returns a *RootFileError unless administrators alone can change the
// file: the file and its directory belong to them or to the system, grant no other account a right
// to change them, and are no links. Other errors are of the file system.
func FindRootFile(path string) (string, error) {
	for _, c := range []struct {
		path   string
		rights windows.ACCESS_MASK
	}{{path, changeFile}, {filepath.Dir(path), changeDir}} {
		info, err := os.Lstat(c.path)
		if err != nil {
			return "", err
		}
		if info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0 { // a junction is irregular
			return "", &RootFileError{Path: c.path, Reason: "is a link"}
		}
		sd, err := windows.GetNamedSecurityInfo(c.path, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
		if err != nil {
			return "", err
		}
		reason, err := describeRisk(sd, c.rights)
		if err != nil {
			return "", err
		}
		if reason != "" {
			return "", &RootFileError{Path: c.path, Reason: reason}
		}
	}
	return path, nil
}

// describeRisk says why an account without administrator's rights has one of the rights, or returns "".
func describeRisk(sd *windows.SECURITY_DESCRIPTOR, rights windows.ACCESS_MASK) (string, error) {
	owner, _, err := sd.Owner()
	if err != nil {
		return "", err
	}
	if !isAdministrator(owner) {
		return "belongs to " + nameAccount(owner), nil
	}
	list, _, err := sd.DACL()
	if err != nil {
		return "", err
	}
	if list == nil {
		return "is writable by everyone", nil
	}
	for i := range uint32(list.AceCount) {
		var entry *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, i, &entry); err != nil {
			return "", err
		}
		switch {
		case entry.Header.AceType == windows.ACCESS_DENIED_ACE_TYPE, entry.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0:
			continue
		case entry.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE: // under a condition, for example
			return "has a permission that cscs cannot judge", nil
		case entry.Mask&rights == 0:
			continue
		}
		sid := (*windows.SID)(unsafe.Pointer(&entry.SidStart))
		if !isAdministrator(sid) {
			return "is writable by " + nameAccount(sid), nil
		}
	}
	return "", nil
}

func isAdministrator(sid *windows.SID) bool {
	return sid.IsWellKnown(windows.WinLocalSystemSid) || sid.IsWellKnown(windows.WinBuiltinAdministratorsSid)
}

func nameAccount(sid *windows.SID) string {
	account, domain, _, err := sid.LookupAccount("")
	if err != nil {
		return sid.String()
	}
	return domain + `\` + account
}
