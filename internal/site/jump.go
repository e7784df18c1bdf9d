package site

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// parseJump parses [user@]host[:port], which may be an ssh:// URI.
func parseJump(jump string) (spec, error) {
	bad := fmt.Errorf("%q is not a jump host of the form [user@]host[:port]", jump)
	s := spec{}
	rest := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(jump), "ssh://"), "/")
	if i := strings.LastIndex(rest, "@"); i >= 0 { // a user name may contain @
		s.user, rest = rest[:i], rest[i+1:]
		if s.user == "" {
			return s, bad
		}
	}
	s.host = rest
	if host, port, err := net.SplitHostPort(rest); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return s, bad
		}
		s.host, s.port = host, int(n)
	}
	s.host = strings.TrimSuffix(strings.TrimPrefix(s.host, "["), "]")
	s.name = s.host
	if !plainHost(s.host) || s.user != "" && s.user[0] == '-' {
		return s, bad
	}
	return s, nil
}

// jumpOfCommand recognises a ProxyCommand of the time before ProxyJump: ssh -W %h:%p [-q] [-l user] [-p
// port] [user@]host.
func jumpOfCommand(command string) (string, bool) {
	words := strings.Fields(command)
	if len(words) == 0 || strings.TrimSuffix(words[0][strings.LastIndexAny(words[0], `/\`)+1:], ".exe") != "ssh" {
		return "", false
	}
	var host, user, port string
	forwards := false
	for i := 1; i < len(words); i++ {
		switch w := words[i]; {
		case slices.Contains([]string{"-q", "-a", "-x", "-T", "-4", "-6"}, w):
		case slices.Contains([]string{"-W", "-l", "-p"}, w) && i+1 < len(words):
			i++
			switch w {
			case "-W":
				forwards = words[i] == "%h:%p" || words[i] == "[%h]:%p"
			case "-l":
				user = words[i]
			case "-p":
				port = words[i]
			}
		case strings.HasPrefix(w, "-") || host != "":
			return "", false // an option that would be lost, or a remote command
		default:
			host = w
		}
	}
	if user != "" && !strings.Contains(host, "@") {
		host = user + "@" + host
	}
	if port != "" {
		host += ":" + port
	}
	return host, forwards && host != ""
}
