package key

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// CSCS's dashboard signs any public key and names the certificate cscs-key-cert.pub, under any name of
// the key. So a certificate is matched to its key by content.

const certSuffix = "-cert.pub"

// FindPrivate returns the path in dir of the private key for pub, or "" if there is none. It ignores
// names that begin with a dot (temporary files of a signing) and keys that were moved away.
func FindPrivate(dir string, pub ssh.PublicKey) string {
	var likely, others []string
	for _, name := range fileNames(dir) {
		switch base, isPublic := strings.CutSuffix(name, ".pub"); {
		case slices.Contains([]string{".away", ".bak", ".old", ".orig"}, filepath.Ext(base)):
		case !isPublic:
			others = append(others, name)
		case !strings.HasSuffix(name, certSuffix):
			likely = append(likely, base)
		}
	}
	for _, name := range slices.Concat(likely, others) {
		k := &keyFile{private: filepath.Join(dir, name)}
		if k.readPrivate() == nil && k.exists && k.readPublic() == nil && isSameKey(k.pub, pub) {
			return k.private
		}
	}
	return ""
}

// fileNames returns the sorted names in dir of files that may be part of a key.
func fileNames(dir string) (names []string) {
	entries, _ := os.ReadDir(dir) // no directory, no key
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "known_hosts") {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.Mode().IsRegular() && info.Size() <= maxKeyFile {
			names = append(names, e.Name())
		}
	}
	return names
}

// maxKeyFile, in bytes, is more than any key or certificate has.
const maxKeyFile = 64 << 10

// certifiedInstead returns the private key for the certificate named like k, if that is not k, else "".
// If k exists under a name of the user's own choice, k itself is meant.
func (k *keyFile) certifiedInstead() string {
	if k.exists && !isDefaultPath(k.private) {
		return ""
	}
	cert, _, err := readCertificate(k.private + certSuffix)
	if err != nil || k.exists && (k.pub == nil || isSameKey(cert.Key, k.pub)) {
		return ""
	}
	return FindPrivate(filepath.Dir(k.private), cert.Key)
}

// addCertificatesBeside adds the certificates for k that have other names in its directory.
func (k *keyFile) addCertificatesBeside() {
	if k.pub == nil {
		return
	}
	dir := filepath.Dir(k.private)
	for _, name := range fileNames(dir) {
		path := filepath.Join(dir, name)
		if !strings.HasSuffix(name, certSuffix) || slices.ContainsFunc(k.certs, func(c certFile) bool { return c.path == path }) {
			continue
		}
		if cert, _, err := readCertificate(path); err == nil && isSameKey(cert.Key, k.pub) {
			k.certs = append(k.certs, certFile{path: path, cert: cert, foundByKey: true})
		}
	}
}
