package service

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/zalando/go-keyring"
	"golang.org/x/oauth2"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/regular"
)

// Tokens stores tokens between two commands. It is a convenience: if it fails, the user signs in again.
type Tokens interface {
	load(issuer, client string) *oauth2.Token // nil: none
	save(issuer, client string, t *oauth2.Token)
	forget(issuer, client string)
}

// keptToken is a stored token with its signing service, issuer and client. A token must never go to another service or
// provider after a change of the configuration. A site-wide file may define another service with the same provider,
// which must not get a token of this login without a question.
type keptToken struct {
	Service string    `json:"service"`
	Issuer  string    `json:"issuer"`
	Client  string    `json:"client"`
	Access  string    `json:"access_token,omitempty"`
	Refresh string    `json:"refresh_token,omitempty"`
	Expiry  time.Time `json:"expiry"`
}

func parseToken(data []byte, service, issuer, client string) *oauth2.Token {
	var k keptToken
	if json.Unmarshal(data, &k) != nil || k.Service != service || k.Issuer != issuer || k.Client != client || k.Access != "" && !isValidToken(k.Access) {
		return nil
	}
	return &oauth2.Token{AccessToken: k.Access, RefreshToken: k.Refresh, Expiry: k.Expiry}
}

// NoTokens stores none.
type NoTokens struct{}

func (NoTokens) load(string, string) *oauth2.Token  { return nil }
func (NoTokens) save(string, string, *oauth2.Token) {}
func (NoTokens) forget(string, string)              {}

// FileTokens stores tokens in a file that only the user can read (0600, in a 0700 directory).
type FileTokens struct{ Path, Service string }

// load returns the token in the file. It removes a file that others could read.
func (f FileTokens) load(issuer, client string) *oauth2.Token {
	info, err := os.Lstat(f.Path)
	if err != nil {
		return nil
	}
	if !info.Mode().IsRegular() || runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		_ = os.Remove(f.Path) // others could read it: do not use it again
		return nil
	}
	data, err := os.ReadFile(f.Path)
	if err != nil || len(data) > maxAnswerSize {
		return nil
	}
	return parseToken(data, f.Service, issuer, client)
}

func (f FileTokens) save(issuer, client string, t *oauth2.Token) {
	data, err := json.Marshal(keptToken{f.Service, issuer, client, t.AccessToken, t.RefreshToken, t.Expiry}) //nolint:gosec // it goes to a file with mode 0600 only
	if err != nil || owndir.CheckOwner(filepath.Dir(f.Path)) != nil {
		return
	}
	if os.MkdirAll(filepath.Dir(f.Path), 0o700) == nil {
		_ = regular.Write(f.Path, data, 0o600)
	}
}

func (f FileTokens) forget(string, string) {
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = os.Truncate(f.Path, 0)
	}
}

// KeyringTokens stores the refresh token in the system's keyring: the Keychain, the Secret Service or
// the Credential Manager. It stores no access token, since Windows has room for 2560 bytes.
type KeyringTokens struct{ Service string }

const keyringService = "cscs"

// account returns the name of the entry in the keyring.
func (k KeyringTokens) account(issuer, client string) string {
	return client + " at " + issuer + " for " + k.Service
}

func (k KeyringTokens) load(issuer, client string) *oauth2.Token {
	data, err := keyring.Get(keyringService, k.account(issuer, client))
	if err != nil {
		return nil
	}
	return parseToken([]byte(data), k.Service, issuer, client)
}

func (k KeyringTokens) save(issuer, client string, t *oauth2.Token) {
	if t.RefreshToken == "" {
		return
	}
	data, err := json.Marshal(keptToken{Service: k.Service, Issuer: issuer, Client: client, Refresh: t.RefreshToken}) //nolint:gosec // it goes to the keyring only
	if err == nil {
		_ = keyring.Set(keyringService, k.account(issuer, client), string(data))
	}
}

func (k KeyringTokens) forget(issuer, client string) {
	_ = keyring.Delete(keyringService, k.account(issuer, client))
}
