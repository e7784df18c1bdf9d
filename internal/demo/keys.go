package demo

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshserver"
)

// certValidity is the validity of a user's certificate at CSCS.
const certValidity = 24 * time.Hour

// makeKeys makes the certificate authority, the hosts' keys, and the user's key with a
// certificate.
func (c *Cluster) makeKeys() error {
	var err error
	for _, name := range slices.Concat([]string{jumpName, loginName}, nodeNames) {
		if c.keys[name], err = sshserver.NewKey(); err != nil {
			return err
		}
	}
	if c.ca, err = sshserver.NewKey(); err != nil {
		return err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	now := time.Now()
	cert := &ssh.Certificate{
		CertType: ssh.UserCert, Key: key, KeyId: "cscs demo", ValidPrincipals: []string{c.user},
		ValidAfter: uint64(now.Add(-time.Minute).Unix()), ValidBefore: uint64(now.Add(certValidity).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": "", "permit-pty": ""}},
	}
	if err := cert.SignCert(rand.Reader, c.ca); err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, "cscs demo")
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		keyFile:               pem.EncodeToMemory(block),
		keyFile + ".pub":      ssh.MarshalAuthorizedKey(key),
		keyFile + "-cert.pub": ssh.MarshalAuthorizedKey(cert),
	} {
		if err := os.WriteFile(filepath.Join(c.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

const (
	keyFile        = "key"
	knownHostsFile = "known_hosts"
	clusterFile    = "cluster.toml"
)

// writeClientConfig writes what a client needs: known_hosts, and the route in the form of
// config.toml. The latter is written last, by a rename, so a client never reads part of it.
func (c *Cluster) writeClientConfig() error {
	jump := c.jumpListener.Addr().String()
	host, port, _ := strings.Cut(jump, ":") // 127.0.0.1
	line := func(name, host string) string {
		return host + " " + string(ssh.MarshalAuthorizedKey(c.keys[name].PublicKey()))
	}
	known := line(jumpName, "["+host+"]:"+port) + line(loginName, loginName)
	for _, n := range nodeNames {
		known += line(n, n)
	}
	if err := os.WriteFile(filepath.Join(c.dir, knownHostsFile), []byte(known), 0o600); err != nil {
		return err
	}
	access := fmt.Sprintf("user = %s\nidentity = %s\nknown_hosts = %s\n",
		quoteTOML(c.user), quoteTOML(filepath.Join(c.dir, keyFile)), quoteTOML(filepath.Join(c.dir, knownHostsFile)))
	text := fmt.Sprintf("# A demo of cscs, while it runs.\n\n[hosts.%s]\nhost = %s\nport = %s\n%s\n[clusters.%s]\nhost = %s\njump = [%s]\nlease = %s\n%s",
		jumpName, quoteTOML(host), port, access, Name, quoteTOML(loginName), quoteTOML(jumpName), quoteTOML("2m"), access)
	file := filepath.Join(c.dir, clusterFile)
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// quoteTOML returns s as a string of TOML.
func quoteTOML(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
