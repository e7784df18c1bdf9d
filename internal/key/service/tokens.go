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

// Tokens is where tokens are kept between two commands. To keep them is a convenience:
// what cannot be kept, or read, is got anew.
type Tokens interface {
	load(issuer, client string) *oauth2.Token // nil: none
	save(issuer, client string, t *oauth2.Token)
	forget(issuer, client string)
}

// keptToken is a token as it is kept, with whose it is: one must never get to another
// provider because the configuration has changed.
type keptToken struct {
	Issuer  string    `json:"issuer"`
	Client  string    `json:"client"`
	Access  string    `json:"access_token,omitempty"`
	Refresh string    `json:"refresh_token,omitempty"`
	Expiry  time.Time `json:"expiry"`
}

func parseToken(data []byte, issuer, client string) *oauth2.Token {
	var k keptToken
	if json.Unmarshal(data, &k) != nil || k.Issuer != issuer || k.Client != client {
		return nil
	}
	if k.Access != "" && !isValidToken(k.Access) {
		return nil
	}
	return &oauth2.Token{AccessToken: k.Access, RefreshToken: k.Refresh, Expiry: k.Expiry}
}

// NoTokens keeps none.
type NoTokens struct{}

func (NoTokens) load(string, string) *oauth2.Token  { return nil }
func (NoTokens) save(string, string, *oauth2.Token) {}
func (NoTokens) forget(string, string)              {}

// FileTokens keeps them in a file that only the user reads (0600, in a directory that is
// 0700).
type FileTokens struct{ Path string }

func (f FileTokens) load(issuer, client string) *oauth2.Token {
	info, err := os.Lstat(f.Path)
	if err != nil {
		return nil
	}
	if !info.Mode().IsRegular() || runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		_ = os.Remove(f.Path) // what others could read is used no more
		return nil
	}
	data, err := os.ReadFile(f.Path)
	if err != nil || len(data) > maxAnswerSize {
		return nil
	}
	return parseToken(data, issuer, client)
}

func (f FileTokens) save(issuer, client string, t *oauth2.Token) {
	data, err := json.Marshal(keptToken{issuer, client, t.AccessToken, t.RefreshToken, t.Expiry})
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

// KeyringTokens keeps them in the system's keyring: the Keychain, the Secret Service, the
// Credential Manager. Only what is needed to get an access token again: Windows has room
// for 2560 bytes.
type KeyringTokens struct{}

const keyringService = "cscs"

func (KeyringTokens) load(issuer, client string) *oauth2.Token {
	data, err := keyring.Get(keyringService, client+" at "+issuer)
	if err != nil {
		return nil
	}
	return parseToken([]byte(data), issuer, client)
}

func (KeyringTokens) save(issuer, client string, t *oauth2.Token) {
	if t.RefreshToken == "" {
		return
	}
	data, err := json.Marshal(keptToken{Issuer: issuer, Client: client, Refresh: t.RefreshToken})
	if err == nil {
		_ = keyring.Set(keyringService, client+" at "+issuer, string(data))
	}
}

func (KeyringTokens) forget(issuer, client string) {
	_ = keyring.Delete(keyringService, client+" at "+issuer)
}
