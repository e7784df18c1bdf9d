package site

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// systemSitePath returns the place of the site-wide file. It asks the system for %ProgramData%: a variable
// of the user cannot change it.
func systemSitePath() string {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, windows.KF_FLAG_DEFAULT)
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "cscs", "config.toml")
}

// editSiteFile returns "": an administrator uses the editor that a user has for config.toml.
func editSiteFile(string) string { return "" }
