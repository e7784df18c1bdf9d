package browser

import (
	"fmt"
	"html"
	"net/url"
	"os"
	"path/filepath"

	"github.com/alps-tunnel/cscs/internal/owndir"
)

// redirectPage redirects the browser. If that is forbidden, the user follows the link. It has no
// script: browsers forbid scripts more often.
const redirectPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url=%[1]s">
<title>cscs</title>
</head>
<body><p><a href="%[1]s" rel="noreferrer">Go on to the server</a></p></body>
</html>
`

// writeLinkFile writes a link to a file that only this user can read. It returns the file's URL and a
// function that removes the file.
func writeLinkFile(link string) (at string, forget func(), err error) {
	if err := owndir.CheckParent(os.TempDir()); err != nil {
		return "", nil, err // other users could replace the page
	}
	// 0700; on Windows the user's temporary directory is the user's own.
	dir, err := os.MkdirTemp("", "cscs-open-")
	if err != nil {
		return "", nil, err
	}
	forget = func() { _ = os.RemoveAll(dir) }
	name := filepath.Join(dir, "open.html")
	if err := os.WriteFile(name, fmt.Appendf(nil, redirectPage, html.EscapeString(link)), 0o600); err != nil {
		forget()
		return "", nil, err
	}
	return fileURL(name), forget, nil
}

// fileURL returns a file's URL: for C:\a b it is file:///C:/a%20b.
func fileURL(name string) string {
	path := filepath.ToSlash(name)
	if path[0] != '/' {
		path = "/" + path
	}
	u := url.URL{Scheme: "file", Path: path}
	return u.String()
}
