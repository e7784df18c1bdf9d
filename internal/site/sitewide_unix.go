//go:build unix

package site

import "al.essio.dev/pkg/shellescape"

// systemSitePath returns the place of the site-wide file. macOS has it in /etc too, next to /etc/ssh, where
// programs of the terminal look. /Library/Application Support is for applications with windows.
func systemSitePath() string { return "/etc/cscs/config.toml" }

// editSiteFile returns the command with which an administrator edits the file.
func editSiteFile(path string) string { return "sudoedit " + shellescape.Quote(path) }
