//go:build unix

package service

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/oauth2"
)

// TestFileTokensOtherOwner: root keeps no tokens in a cache directory of another user, who could
// neither read nor replace them.
func TestFileTokensOtherOwner(t *testing.T) {
	const other = 65534
	cache := t.TempDir()
	if err := os.Chown(cache, other, other); err != nil { // as root, as scripts/test runs
		t.Fatal(err)
	}
	FileTokens{Path: filepath.Join(cache, "cscs", "token.json")}.save("issuer", "client", &oauth2.Token{RefreshToken: "r"})
	if left, err := os.ReadDir(cache); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
}
