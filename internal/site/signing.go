package site

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
)

// The kinds of services that sign keys.
const (
	SigningCSCS       = "cscs"       // certifies a key of the user's after a login (OpenID Connect)
	SigningSSHService = "sshservice" // makes the key itself, for a user name, a password and a one-time password
)

// Where tokens are stored between commands.
const (
	TokensFile    = "file"    // a 0600 file in the user's cache
	TokensKeyring = "keyring" // the system's keyring
	TokensNone    = "none"    // not stored
)

// A Signing is the configuration of a service that signs keys.
type Signing struct {
	Name     string
	Kind     string // SigningCSCS or SigningSSHService
	Endpoint string // where keys are signed

	// For SigningCSCS only:
	Issuer   string // the OpenID provider
	ClientID string // ours at the provider
	Redirect string // where the provider sends the browser back to, on this machine
	Account  string // where a service account gets a token for its API key; may be empty
	Tokens   string // TokensFile, TokensKeyring or TokensNone

	PerDay     int    // signings per day; 0 if not known
	CountsWith string // the service with whose signings these are counted; may be itself
}

type fileSigning struct {
	Kind     string `toml:"kind" jsonschema:"enum=cscs,enum=sshservice"`                       // cscs: certifies a key after a login in the browser; sshservice: makes the key, for a password and a one-time password
	Endpoint string `toml:"endpoint"`                                                          // the address that signs keys
	Issuer   string `toml:"issuer"`                                                            // cscs only: the address of the OpenID provider
	ClientID string `toml:"client_id"`                                                         // cscs only: the name of the program at the provider
	Redirect string `toml:"redirect"`                                                          // cscs only: the address of this machine to which the provider sends the browser back
	Account  string `toml:"account_endpoint"`                                                  // cscs only: the address that gives a token for CSCS_API_KEY
	Tokens   string `toml:"tokens" jsonschema:"enum=file,enum=keyring,enum=none,default=file"` // cscs only: where the tokens of a login are stored
	PerDay   int    `toml:"per_day" jsonschema:"minimum=0"`                                    // signatures a day; without it, they are not counted

	CountsWith string `toml:"counts_with"` // the service with whose signatures these are counted; without it, they count alone
}

// mergeSigning merges the [signing] tables of f. A service for which config.toml has an endpoint is the user's: nothing
// that the site-wide file says of the name counts. The site-wide file cannot change a built-in service, because secrets
// that users have for it (passwords, stored tokens, CSCS_API_KEY) would be sent elsewhere.
func (m *merger) mergeSigning(f *file) {
	for _, n := range slices.Sorted(maps.Keys(f.Signing)) {
		if !plainName.MatchString(n) {
			m.bad(fmt.Sprintf("%q cannot be the name of a signing service", n), "signing", n)
			continue
		}
		fs, s := f.Signing[n], m.signing[n]
		switch {
		case m.from == originSite && m.base.signing[n].Name != "":
			m.bad(fmt.Sprintf("signing service %s is built in and cannot be changed for all users, because secrets are sent to it: define one with another name", n), "signing", n)
			continue
		case m.from == originUser && fs.Endpoint != "":
			s = m.base.signing[n]
		case s.Name == "" && fs.Endpoint == "" && m.isExcused():
			continue
		}
		m.addReference("signing service", fs.CountsWith, "signing", n, "counts_with")
		s.Name = n
		s.Kind = cmp.Or(fs.Kind, s.Kind)
		s.Endpoint = cmp.Or(fs.Endpoint, s.Endpoint)
		s.Issuer = cmp.Or(fs.Issuer, s.Issuer)
		s.ClientID = cmp.Or(fs.ClientID, s.ClientID)
		s.Redirect = cmp.Or(fs.Redirect, s.Redirect)
		s.Account = cmp.Or(fs.Account, s.Account)
		s.Tokens = cmp.Or(fs.Tokens, s.Tokens, TokensFile)
		s.CountsWith = cmp.Or(fs.CountsWith, s.CountsWith, n)
		s.PerDay = cmp.Or(fs.PerDay, s.PerDay)
		if message, key := s.findProblem(); message != "" {
			m.bad(message, "signing", n, key)
		}
		m.signing[n] = s
	}
}

// findProblem returns what is wrong and under which key, or "".
func (s Signing) findProblem() (message, key string) {
	switch {
	case s.Kind != SigningCSCS && s.Kind != SigningSSHService:
		return fmt.Sprintf("kind %q is neither %s nor %s", s.Kind, SigningCSCS, SigningSSHService), "kind"
	case s.Tokens != TokensFile && s.Tokens != TokensKeyring && s.Tokens != TokensNone:
		return fmt.Sprintf("tokens %q is none of %s, %s and %s", s.Tokens, TokensFile, TokensKeyring, TokensNone), "tokens"
	case s.PerDay < 0:
		return "per_day cannot be negative", "per_day"
	}
	if message := addressProblem(s.Endpoint); message != "" {
		return message, "endpoint"
	}
	if s.Kind == SigningSSHService {
		return "", ""
	}
	if message := addressProblem(s.Issuer); message != "" {
		return message, "issuer"
	}
	if s.Account != "" {
		if message := addressProblem(s.Account); message != "" {
			return message, "account_endpoint"
		}
	}
	if s.ClientID == "" {
		return "it needs a client_id", "client_id"
	}
	// RFC 8252, section 7.3: a native program's redirect goes to its own machine.
	u, err := url.Parse(s.Redirect)
	if err != nil || u.Scheme != "http" || !isLoopback(u.Hostname()) || u.Port() == "" {
		return fmt.Sprintf("redirect %q is not an http address of this machine with a port", s.Redirect), "redirect"
	}
	return "", ""
}

// addressProblem says why secrets cannot be sent to address, or "".
func addressProblem(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil: // it is not printed, as it may have a password in it
		return "the value is not the address of a service; an address must not contain a user or password"
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return fmt.Sprintf("%q is not https, but secrets are sent there", address)
	}
	return ""
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Signing returns the signing service with this name.
func (c *Config) Signing(name string) (Signing, error) {
	s, ok := c.signing[name]
	if !ok {
		known := slices.Sorted(maps.Keys(c.signing))
		return s, &UnknownSigningError{Name: name, Nearest: Nearest(name, known), Known: known}
	}
	return s, nil
}

// CountedWith returns the sorted names of the other services whose signings the site counts together with this one's.
func (c *Config) CountedWith(s Signing) []string {
	var names []string
	for name, other := range c.signing {
		if name != s.Name && other.CountsWith == s.CountsWith {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// DefaultSigning is the service if no cluster names one.
const DefaultSigning = "cscs"

// Signings returns the sorted names of the signing services.
func (c *Config) Signings() []string { return slices.Sorted(maps.Keys(c.signing)) }

// UnknownSigningError reports that there is no signing service with this name.
type UnknownSigningError struct {
	Name    string
	Nearest string // the name most likely meant; may be empty
	Known   []string
}

func (e *UnknownSigningError) Error() string {
	s := fmt.Sprintf("unknown signing service %q", e.Name)
	if e.Nearest != "" {
		s += ", did you mean " + e.Nearest + "?"
	}
	return s
}
