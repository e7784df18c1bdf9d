//go:build unix

package main

import (
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// TestSSHConfigKeyInAgent: with the private key in the agent alone, OpenSSH's ssh logs in by the
// configuration that cscs ssh-config prints, and cscs itself, which reads it, finds the key.
func TestSSHConfigKeyInAgent(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before bool     // the configuration is made before the agent has the key
		files  []string // what there is of the key in ~/.ssh
		both   bool     // the agent holds the certificate, too
	}{
		{name: "key and certificate are in the agent alone", both: true},
		{name: "and were added after the configuration was made", before: true, both: true},
		{name: "the certificate is in a file", files: []string{"-cert.pub"}},
		{name: "certificate and public key are in files", files: []string{".pub", "-cert.pub"}},
		{name: "all is in files, and in the agent", files: []string{"", ".pub", "-cert.pub"}, both: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ca := sshtest.NewKey(t)
			sshd := sshtest.StartSSHD(t, sshtest.SSHDConfig{UserCA: ca.PublicKey()})
			host, port, err := net.SplitHostPort(sshd.Addr)
			if err != nil {
				t.Fatal(err)
			}
			home := t.TempDir()
			put := func(name string, data []byte) string {
				name = filepath.Join(home, name)
				if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, data, 0o600); err != nil {
					t.Fatal(err)
				}
				return name
			}
			t.Setenv("HOME", home)
			t.Setenv("XDG_STATE_HOME", "")
			t.Setenv("CSCS_CONFIG", put("config.toml", fmt.Appendf(nil, "[clusters.daint]\nhost = %q\nport = %s\njump = []\n", host, port)))
			config := put(".ssh/config", []byte("Host *\n    StrictHostKeyChecking no\n    UserKnownHostsFile /dev/null\n    BatchMode yes\n"))
			t.Setenv("CSCS_SSH_CONFIG", config)

			private, signer := sshtest.NewPair(t)
			cert := sshtest.UserCert(t, ca, signer.PublicKey(), []string{sshd.User})
			ring := agent.NewKeyring()
			fill := func() {
				keys := []agent.AddedKey{{PrivateKey: private}}
				if tt.both {
					keys = append(keys, agent.AddedKey{PrivateKey: private, Certificate: cert})
				}
				for _, k := range keys {
					if err := ring.Add(k); err != nil {
						t.Fatal(err)
					}
				}
			}
			if !tt.before {
				fill()
			}
			t.Setenv("SSH_AUTH_SOCK", sshtest.ServeUnix(t, func(c net.Conn) { _ = agent.ServeAgent(ring, c) }))
			block, err := ssh.MarshalPrivateKey(private, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, suffix := range tt.files {
				put(".ssh/cscs-key"+suffix, map[string][]byte{"": pem.EncodeToMemory(block),
					".pub": ssh.MarshalAuthorizedKey(signer.PublicKey()), "-cert.pub": ssh.MarshalAuthorizedKey(cert)}[suffix])
			}

			cfg, err := site.Load()
			if err != nil {
				t.Fatal(err)
			}
			files, err := sshFiles(cfg)
			if err != nil {
				t.Fatal(err)
			}
			text, _, err := sshText(t.Context(), cfg, files, site.Overrides{User: sshd.User})
			if err != nil {
				t.Fatal(err)
			}
			if tt.before {
				fill()
			}
			own, err := os.ReadFile(config)
			if err != nil {
				t.Fatal(err)
			}
			// ssh takes the home directory from the password database.
			text = strings.Replace(text, "\nHost daint\n", "\nHost daint "+host+"\n", 1) // cscs asks by what config.toml has
			put(".ssh/config", []byte(strings.ReplaceAll(text, "~/", home+"/")+"\n"+string(own)))
			if out, err := exec.CommandContext(t.Context(), "ssh", "-T", "-F", config, "daint", "true").CombinedOutput(); err != nil {
				t.Errorf("ssh: %v\n%s\n%s", err, out, text)
			}

			if cfg, err = site.Load(); err != nil {
				t.Fatal(err)
			}
			cl, err := cfg.Cluster(t.Context(), "daint")
			if err != nil {
				t.Fatal(err)
			}
			hosts, err := cfg.Route(t.Context(), cl, site.Overrides{})
			if err != nil {
				t.Fatal(err)
			}
			if id, err := key.Load(t.Context(), connect.KeySource(hosts[0]), nil); err != nil || id.Cert == nil || string(id.Cert.Marshal()) != string(cert.Marshal()) {
				t.Errorf("cscs: %+v, %v\n%s", id, err, text)
			}
		})
	}
}
