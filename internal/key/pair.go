package key

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// CSCS's dashboard signs any public key and names the certificate cscs-key-cert.pub, whatever the
// key is called. So a certificate and its key belong together by what is in them.

const certSuffix = "-cert.pub"

// FindPrivate returns the private key in dir that pub belongs to; "" for none. Names that begin
// with a dot are temporary files of a signing, and a key that was moved away is not meant any more.
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

// fileNames are the names in dir of what may be part of a key, sorted.
func fileNames(dir string) (names []string) {
	entries, _ := os.ReadDir(dir) // without a directory there is no key
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

// maxKeyFile is more than a key or a certificate has.
const maxKeyFile = 64 << 10

// certifiedInstead returns the private key that the certificate named like k is for, if that is
// not k; "" for none. A key that the user has given another name than CSCS's tools is meant itself.
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

// addCertificatesBeside adds the certificates for k in its directory that have other names.
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
