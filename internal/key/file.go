package key

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"al.essio.dev/pkg/shellescape"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/regular"
)

// A keyFile describes the files of one key.
type keyFile struct {
	private string // path of the private key, which may not exist
	exists  bool   // the private key file exists

	pub      ssh.PublicKey // nil only if an old encrypted file has no .pub
	comment  string
	signer   ssh.Signer // nil if encrypted, absent or unusable
	unusable error      // why the private file cannot be used; the agent may have the key

	certs []certFile
}

type certFile struct {
	path       string // "" if the agent holds it
	cert       *ssh.Certificate
	foundByKey bool // found by its key, not by its name: an expired one is no error
}

// errAbsent reports that neither a private nor a public file of the name exists.
var errAbsent = errors.New("no such key")

// readKey reads the files of a key. The name is that of the private file, the .pub or the -cert.pub. If
// the certificate of that name certifies a key of another name, readKey returns that key. It returns
// errAbsent if there is none.
func readKey(named string, certificates []string) (*keyFile, error) {
	k := &keyFile{private: named}
	if base, ok := strings.CutSuffix(named, "-cert.pub"); ok {
		k.private = base
	} else if base, ok := strings.CutSuffix(named, ".pub"); ok {
		k.private = base
	}
	own := k.private + certSuffix
	if err := k.readFiles(); err != nil {
		return nil, err
	}
	if other := k.certifiedInstead(); other != "" {
		k = &keyFile{private: other}
		if err := k.readFiles(); err != nil {
			return nil, err
		}
	}
	for i, path := range append([]string{own}, certificates...) {
		cert, comment, err := readCertificate(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		case k.pub == nil:
			k.pub = cert.Key // an old encrypted file, without its .pub
		case !isSameKey(cert.Key, k.pub):
			if i > 0 {
				continue // a CertificateFile may be for another IdentityFile
			}
			return nil, &FileError{
				Path: path,
				What: fmt.Sprintf("it is for another key (%s) than %s (%s)", ssh.FingerprintSHA256(cert.Key),
					k.private, ssh.FingerprintSHA256(k.pub)),
				Fix: SignCommand,
			}
		}
		k.comment = cmp.Or(k.comment, comment)
		k.certs = append(k.certs, certFile{path: path, cert: cert})
	}
	k.addCertificatesBeside()
	if !k.exists && k.pub == nil {
		return nil, errAbsent
	}
	return k, nil
}

// readFiles reads the private file and the .pub beside it.
func (k *keyFile) readFiles() error {
	if err := k.readPrivate(); err != nil {
		return err
	}
	return k.readPublic()
}

// readPrivate reads what the private file reveals without a passphrase.
func (k *keyFile) readPrivate() error {
	data, mode, err := regular.Read(k.private)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return newUnreadableError(k.private, err)
	}
	k.exists = true
	if pub, comment, err := parsePublic(data); err == nil {
		// The name is that of a private file, but the content is a .pub: use the content.
		k.exists, k.pub, k.comment = false, pub, comment
		if _, ok := pub.(*ssh.Certificate); ok {
			cert, _, what := parseCertificate(data)
			if what != "" {
				return &FileError{Path: k.private, What: what}
			}
			k.pub = cert.Key
			k.certs = append(k.certs, certFile{path: k.private, cert: cert})
		}
		return nil
	}
	if err := checkKeyFormat(k.private, data); err != nil {
		return err
	}
	signer, err := ssh.ParsePrivateKey(data)
	var encrypted *ssh.PassphraseMissingError
	switch {
	case err == nil:
		k.signer, k.pub = signer, signer.PublicKey()
	case errors.As(err, &encrypted):
		k.pub = encrypted.PublicKey
	case bytes.Contains(data, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----")): // not in x/crypto; in ssh-keygen
		k.unusable = &FileError{Path: k.private, What: "it is encrypted as PKCS #8, and cannot be opened from here", Fix: "ssh-keygen -p -f " + shellescape.Quote(k.private)}
	default:
		// A key on a token, for example, which only an agent can use.
		k.unusable = &FileError{Path: k.private, What: "it is no private key that can be used from here", Err: err}
	}
	if open := tooOpen(mode); open != 0 {
		k.signer = nil
		k.unusable = &PermissionsError{Path: k.private, Mode: open, Fix: "chmod 600 " + shellescape.Quote(k.private)}
	}
	return nil
}

// readPublic reads the .pub file for the comment, and for the key if the private file does not reveal it.
func (k *keyFile) readPublic() error {
	path := k.private + ".pub"
	data, _, err := regular.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return newUnreadableError(path, err)
	}
	pub, comment, err := parsePublic(data)
	if err != nil {
		if k.pub != nil {
			return nil // ssh does not need the .pub either
		}
		return &FileError{Path: path, What: "it is not a public key"}
	}
	if k.pub == nil {
		k.pub = pub
	}
	if k.comment == "" && isSameKey(k.pub, pub) {
		k.comment = comment
	}
	return nil
}

// decryptPrivate decrypts the private file with a passphrase.
func (k *keyFile) decryptPrivate(passphrase []byte) (ssh.Signer, error) {
	data, _, err := regular.Read(k.private)
	if err != nil {
		return nil, newUnreadableError(k.private, err)
	}
	return ssh.ParsePrivateKeyWithPassphrase(data, passphrase)
}

// readCertificate reads a user certificate (PROTOCOL.certkeys) and its comment.
func readCertificate(path string) (*ssh.Certificate, string, error) {
	data, _, err := regular.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	if err != nil {
		return nil, "", newUnreadableError(path, err)
	}
	cert, comment, what := parseCertificate(data)
	if what != "" {
		return nil, "", &FileError{Path: path, What: what, Fix: SignCommand}
	}
	return cert, comment, nil
}

// parseCertificate returns the user certificate in data, or what is wrong with it.
func parseCertificate(data []byte) (cert *ssh.Certificate, comment, what string) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, "", "it is empty"
	}
	pub, comment, err := parsePublic(data)
	if err != nil {
		return nil, "", "it is not a certificate"
	}
	cert, ok := pub.(*ssh.Certificate)
	switch {
	case !ok:
		return nil, "", "it is a public key, not a certificate"
	case cert.CertType != ssh.UserCert:
		return nil, "", "it is a certificate for a host, not for a user"
	}
	return cert, comment, ""
}

// parsePublic parses one line of a .pub file. It rejects options, which only authorized_keys allows.
func parsePublic(data []byte) (ssh.PublicKey, string, error) {
	pub, comment, options, _, err := ssh.ParseAuthorizedKey(data)
	if err == nil && len(options) > 0 {
		err = errors.New("options before the key")
	}
	return pub, comment, err
}

// checkKeyFormat returns an error for a file that is no private key of OpenSSH's, with a command that
// creates one if possible. It returns nil if the file may be a key.
func checkKeyFormat(path string, data []byte) error {
	switch text := bytes.TrimSpace(data); {
	case len(text) == 0:
		return newNotKeyError(path, "it is empty")
	case bytes.HasPrefix(text, []byte("PuTTY-User-Key-File")):
		base := strings.TrimSuffix(path, ".ppk")
		fix := "puttygen " + shellescape.Quote(base+".ppk") + " -O private-openssh -o " + shellescape.Quote(base)
		if base == path { // the converted key needs this name
			return &FileError{Path: path, What: "it is a key of PuTTY's", Fix: moveAway(path, ".ppk") + " && " + fix}
		}
		return &FileError{Path: path, What: "it is a key of PuTTY's: make one of OpenSSH's of it, and name that", Fix: fix}
	case !bytes.Contains(text, []byte("-----BEGIN ")):
		return newNotKeyError(path, "it is not a private key")
	}
	return nil
}

// newNotKeyError reports a file that contains no key. At the default path the file is in the way of a
// new key. At any other path the user named it by mistake.
func newNotKeyError(path, what string) *FileError {
	if !isDefaultPath(path) {
		return &FileError{Path: path, What: what, Stray: true}
	}
	return &FileError{Path: path, What: what, Fix: replacementCommand(path)}
}

// replacementCommand returns a command that moves the files of a key away and has a new key signed at path.
func replacementCommand(path string) string {
	command := ""
	for _, name := range []string{path, path + ".pub", path + "-cert.pub"} {
		if _, err := os.Lstat(name); err == nil {
			command += moveAway(name, ".away") + " && "
		}
	}
	return command + SignCommand + IdentityFlag(path)
}

func moveAway(path, suffix string) string {
	return "mv -i " + shellescape.Quote(path) + " " + shellescape.Quote(path+suffix)
}

// newUnreadableError reports a file that exists but cannot be read, with a command that may fix that.
func newUnreadableError(path string, err error) *FileError {
	e := &FileError{Path: path, What: "it cannot be read", Err: regular.Reason(err)}
	var special *regular.Error
	switch {
	case errors.As(err, &special) && special.Kind == "a directory":
		e.What, e.Err, e.Fix = "it is a directory, not a key", nil, "rmdir "+shellescape.Quote(path)
		if left, err := os.ReadDir(path); err != nil || len(left) > 0 { // such as ~/.ssh
			e.What, e.Fix = "it is a directory: name a key in it, or move it away", "ls -A "+shellescape.Quote(path)
		}
	case errors.As(err, &special):
		e.What, e.Err, e.Fix = "it is "+special.Kind+", not a key: name a file, or move it away", nil, "ls -l "+shellescape.Quote(path)
	case runtime.GOOS == "windows": // these commands do not exist there
	case errors.Is(err, syscall.ENOTDIR): // a directory above is a file, such as ~/.ssh
		for path = filepath.Dir(path); ; path = filepath.Dir(path) {
			if info, err := os.Lstat(path); err == nil && !info.IsDir() {
				e.Fix = moveAway(path, ".away")
				break
			} else if path == filepath.Dir(path) {
				break
			}
		}
	case errors.Is(err, fs.ErrPermission):
		e.Fix = "chmod u+rw " + shellescape.Quote(path)
		if _, err := os.Lstat(path); err != nil { // a directory above denies access
			e.Fix = "chmod u+rwx " + shellescape.Quote(filepath.Dir(path))
		}
	}
	return e
}
