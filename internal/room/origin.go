package room

import (
	"net/url"
	"strings"
)

// localTarget is what a request asked for, as a link that stays on the origin of the page that
// it stands on: a path with one leading slash, and a query. A browser reads "//host" and "/\host" as
// another host, and a target in absolute form has a host, or no path.
func localTarget(u *url.URL) string {
	target := "/" + strings.TrimLeft(u.EscapedPath(), `/\`)
	if u.RawQuery != "" {
		target += "?" + strings.ReplaceAll(u.RawQuery, "#", "%23") // a target has no fragment
	}
	return target
}
