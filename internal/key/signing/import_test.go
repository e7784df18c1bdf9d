package signing

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

// TestFindAuthorities: of the pairs in a directory, those that are named like CSCS's are taken
// first. If several authorities are left, none is chosen by how long its certificate is valid.
func TestFindAuthorities(t *testing.T) {
	cscs, work := newAuthority(t), newAuthority(t)
	type pair struct {
		name string
		by   *authority
		last time.Duration
	}
	for name, c := range map[string]struct {
		pairs []pair
		want  string // "": a SeveralError
	}{
		"another organisation's, for longer":  {[]pair{{"cscs-key", cscs, time.Hour}, {"bastion-key", work, 8760 * time.Hour}}, "cscs-key"},
		"that alone":                          {[]pair{{"bastion-key", work, time.Hour}}, "bastion-key"},
		"two of one authority":                {[]pair{{"a-key", cscs, time.Hour}, {"b-key", cscs, 2 * time.Hour}}, "b-key"},
		"two authorities":                     {[]pair{{"a-key", cscs, time.Hour}, {"b-key", work, 2 * time.Hour}}, ""},
		"two authorities, by names like ours": {[]pair{{"cscs-key", cscs, time.Hour}, {"cscs-key (1)", work, 2 * time.Hour}}, ""},
		"two authorities, one of them over":   {[]pair{{"a-key", cscs, time.Hour}, {"b-key", work, -time.Minute}}, "a-key"},
		"ours is over":                        {[]pair{{"cscs-key", cscs, -time.Minute}, {"b-key", work, time.Hour}}, "cscs-key"},
	} {
		dir := t.TempDir()
		for _, p := range c.pairs {
			k := newKey(t)
			sealed, err := encodePrivateKey(k, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			signer, err := ssh.NewSignerFromKey(k)
			if err != nil {
				t.Fatal(err)
			}
			p.by.spoil = func(c *ssh.Certificate) { c.ValidBefore = uint64(time.Now().Add(p.last).Unix()) }
			err = errors.Join(os.WriteFile(filepath.Join(dir, p.name), sealed, 0o600),
				os.WriteFile(filepath.Join(dir, p.name+"-cert.pub"), p.by.sign(signer.PublicKey()), 0o600))
			if err != nil {
				t.Fatal(err)
			}
			if named, err := Find(filepath.Join(dir, p.name), ""); err != nil || filepath.Base(named.Key) != p.name {
				t.Errorf("%s: by its name: %+v %v", name, named, err)
			}
		}
		got, err := Find(dir, "")
		var several *SeveralError
		if errors.As(err, &several) != (c.want == "") || c.want != "" && (err != nil || filepath.Base(got.Key) != c.want) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
		if several != nil && len(several.Keys) != len(c.pairs) {
			t.Errorf("%s: %v", name, several.Keys)
		}
	}
}

// TestImportOtherOrganisation: a pair of another authority does not replace a good pair, not even
// one that is named.
func TestImportOtherOrganisation(t *testing.T) {
	r := request(t, newAuthority(t))
	if _, err := Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	before := leaves(t, r.Path)
	dir := t.TempDir()
	var replace *ReplaceError
	if _, err := Import(t.Context(), r, savePair(t, newAuthority(t), dir)); !errors.As(err, &replace) {
		t.Errorf("%v", err)
	}
	if d := cmp.Diff(before, leaves(t, r.Path)); d != "" {
		t.Error(d)
	}
	if _, err := os.Stat(filepath.Join(dir, "cscs-key")); err != nil {
		t.Errorf("the other one was taken away: %v", err)
	}
}
