package site

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func loadText(t *testing.T, text string) (*Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CSCS_CONFIG", file)
	return Load()
}

// TestSigning: CSCS's services are built in, for each of its clusters; what config.toml says
// is laid over them, and a cluster of one's own has none.
func TestSigning(t *testing.T) {
	c, err := loadText(t, `
[signing.cscs]
tokens = "keyring"
[signing.mine]
kind = "sshservice"
endpoint = "https://keys.example.org/sign"
[clusters.mine]
host = "login.example.org"
signing = "mine"
[clusters.other]
host = "other.example.org"
[clusters.santis]
signing = ""
[clusters.eiger]
no_sign = true
`)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Signing("cscs")
	if err != nil || s.Kind != SigningCSCS || s.Tokens != TokensKeyring || s.ClientID != "authx-cli" || s.PerDay != 5 ||
		s.Endpoint != "https://authx-gateway.svc.cscs.ch/api-ssh-service/api/v1/ssh-keys" || s.Issuer != "https://auth.cscs.ch/auth/realms/cscs" {
		t.Errorf("%+v %v", s, err)
	}
	for cluster, want := range map[string]string{"daint": "cscs", "besso": "cscs", "mine": "mine", "other": "", "santis": ""} {
		cl, err := c.Cluster(t.Context(), cluster)
		if err != nil || cl.Signing != want {
			t.Errorf("%s: %q, want %q, %v", cluster, cl.Signing, want, err)
		}
	}
	if cl, err := c.Cluster(t.Context(), "eiger"); err != nil || len(cl.Settings) != 1 || cl.Settings[0].Flag != "no-sign" {
		t.Errorf("%+v %v", cl, err)
	}
	var unknown *UnknownSigningError
	if _, err := c.Signing("csc"); !errors.As(err, &unknown) || unknown.Nearest != "cscs" {
		t.Errorf("%v", err)
	}
}

// TestSigningErrors: secrets go nowhere that is not safe, and what is missing is told where
// it is missing.
func TestSigningErrors(t *testing.T) {
	const whole = "[signing.x]\nkind = \"cscs\"\nendpoint = \"https://a/\"\nissuer = \"https://b/\"\nclient_id = \"c\"\nredirect = \"http://localhost:8765\"\n"
	if _, err := loadText(t, whole); err != nil {
		t.Errorf("%v", err)
	}
	for change, says := range map[string]string{
		"kind = \"cscs\"|kind = \"x\"":                       "neither cscs nor sshservice",
		"https://a/|http://a/":                               "not https",
		"https://b/|http://b.example.org/":                   "not https",
		"https://a/|https://me:pw@a/":                        "not the address",
		"https://a/|me:pw@a/":                                "not the address",
		"https://a/|https:/me:pw@a/":                         "not the address",
		"client_id = \"c\"|":                                 "client_id",
		"http://localhost:8765|http://example.org:8765":      "not an http address of this machine",
		"http://localhost:8765|http://localhost":             "with a port",
		"http://localhost:8765|https://localhost:1":          "not an http address",
		"kind = \"cscs\"|kind = \"cscs\"\ntokens = \"disk\"": "none of file",
		"kind = \"cscs\"|kind = \"cscs\"\nper_day = -1":      "negative",
		"kind = \"cscs\"|kind = \"cscs\"\nclient = \"c\"":    "did you mean client_id?",
	} {
		from, to, _ := strings.Cut(change, "|")
		var bad *ConfigError
		_, err := loadText(t, strings.Replace(whole, from, to, 1))
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), says) || bad.Line == 0 {
			t.Errorf("%s: %v", change, err)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("the password is printed: %v", err)
		}
	}
	if _, err := loadText(t, "[clusters.a]\nsigning = \"nobody\"\n"); err == nil || !strings.Contains(err.Error(), "there is no [signing.nobody]") {
		t.Errorf("%v", err)
	}
}
