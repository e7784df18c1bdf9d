package site

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// systemSitePath returns the place of the site-wide file. It asks the system for %ProgramData%: the user's
// environment has no say in it.
func systemSitePath() string {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, windows.KF_FLAG_DEFAULT)
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "cscs", "config.toml")
}

// editSiteFile returns "": the usual editor is as good, from an administrator's terminal.
func editSiteFile(string) string { return "" }
