package connect

import (
	"path/filepath"
	"testing"

	"github.com/alps-tunnel/cscs/internal/key/service"
	"github.com/alps-tunnel/cscs/internal/site"
)

// TestTokenStore: each signing service has its own tokens.
func TestTokenStore(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, dir)
	}
	for _, kind := range []string{site.TokensKeyring, site.TokensFile} {
		s := Signer{Service: site.Signing{Name: "centre", Tokens: kind}}
		got, err := s.tokenStore()
		if err != nil {
			t.Fatal(err)
		}
		switch store := got.(type) {
		case service.KeyringTokens:
			if kind != site.TokensKeyring || store.Service != "centre" {
				t.Errorf("%s: %+v", kind, store)
			}
		case service.FileTokens:
			if kind != site.TokensFile || store.Service != "centre" || filepath.Base(store.Path) != "token-centre.json" {
				t.Errorf("%s: %+v", kind, store)
			}
		default:
			t.Errorf("%s: %+v", kind, store)
		}
	}
}
