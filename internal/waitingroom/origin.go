package waitingroom

import (
	"net/url"
	"strings"
)

// localTarget returns the target of a request as a link that stays on the page's own origin: a path with one
// leading slash, and a query. A browser reads "//host" and "/\host" as another host. A target in absolute form
// has a host, or no path.
func localTarget(u *url.URL) string {
	target := "/" + strings.TrimLeft(u.EscapedPath(), `/\`)
	if u.RawQuery != "" {
		target += "?" + strings.ReplaceAll(u.RawQuery, "#", "%23") // a target has no fragment
	}
	return target
}
