package browser

import (
	"fmt"
	"html"
	"net/url"
	"os"
	"path/filepath"

	"github.com/alps-tunnel/cscs/internal/owndir"
)

// redirectPage sends the browser on, or lets the user do it where that is forbidden.
// It has no script: those are forbidden more often.
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

// writeLinkFile puts a link into a file that only this user can read, and gives the file's address
// and what removes it.
func writeLinkFile(link string) (at string, forget func(), err error) {
	if err := owndir.CheckParent(os.TempDir()); err != nil {
		return "", nil, err // others could put another page in its place
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

// fileURL is a file's URL; of C:\a b it is file:///C:/a%20b.
func fileURL(name string) string {
	path := filepath.ToSlash(name)
	if path[0] != '/' {
		path = "/" + path
	}
	u := url.URL{Scheme: "file", Path: path}
	return u.String()
}
