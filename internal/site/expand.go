package site

import (
	"cmp"
	"crypto/sha1" //nolint:gosec // ssh's %C is defined by it; it protects nothing
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// tokens expands what ssh -G leaves unexpanded in file names: ~, tokens such as %d and %h, ${VARIABLES}.
type tokens map[byte]string

func newTokens(h Host) tokens {
	home, _ := os.UserHomeDir()
	full, _ := os.Hostname()
	short, _, _ := strings.Cut(full, ".")
	local, port := localUser(), strconv.Itoa(h.Port)
	t := tokens{
		'%': "%", 'd': home, 'h': h.HostName, 'n': h.Asked, 'p': port, 'r': cmp.Or(h.User, local), 'u': local,
		'i': strconv.Itoa(os.Getuid()), 'l': full, 'L': short, 'k': cmp.Or(h.HostKeyAlias, h.Asked), 'j': "",
	}
	sum := sha1.Sum([]byte(full + h.HostName + port + t['r'] + t['j'])) //nolint:gosec // see the import
	t['C'] = hex.EncodeToString(sum[:])
	return t
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expandFile expands one file name.
func (t tokens) expandFile(name string) string {
	name = variable.ReplaceAllStringFunc(name, func(v string) string { return os.Getenv(v[2 : len(v)-1]) })
	if dir := os.Getenv("ProgramData"); dir != "" { // the default that OpenSSH for Windows prints
		name = strings.Replace(name, "__PROGRAMDATA__", dir, 1)
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '%' && i+1 < len(name) {
			if v, ok := t[name[i+1]]; ok {
				b.WriteString(v)
				i++
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return filepath.FromSlash(expandHome(b.String()))
}

func (t tokens) expandFiles(names []string) []string {
	var out []string
	for _, n := range names {
		if n != "" && !strings.EqualFold(n, "none") {
			out = append(out, t.expandFile(n))
		}
	}
	return out
}

// expandAgent returns the socket that an IdentityAgent names, possibly by an environment variable.
func (t tokens) expandAgent(v string) string {
	switch {
	case v == "" || strings.EqualFold(v, "none"):
		return strings.ToLower(v)
	case v == "SSH_AUTH_SOCK":
		return ""
	case v[0] == '$' && !strings.HasPrefix(v, "${"):
		return cmp.Or(os.Getenv(v[1:]), "none")
	default:
		return t.expandFile(v)
	}
}
