package service

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// TestTokensInPlace: a token is not written in the directory for temporary files, in which other users
// may rename what is there.
func TestTokensInPlace(t *testing.T) {
	tmp, f := t.TempDir(), FileTokens{Path: filepath.Join(t.TempDir(), "state", "token.json")}
	t.Setenv("TMPDIR", tmp)
	long := time.Unix(1, 0)
	if err := os.Chtimes(tmp, long, long); err != nil {
		t.Fatal(err)
	}
	f.save("https://issuer", "cscs", &oauth2.Token{RefreshToken: "r"})
	if got := f.load("https://issuer", "cscs"); got == nil || got.RefreshToken != "r" {
		t.Errorf("kept %+v", got)
	}
	if info, err := os.Stat(tmp); err != nil || !info.ModTime().Equal(long) {
		t.Errorf("a file was made in %s: %v", tmp, err)
	}
}
