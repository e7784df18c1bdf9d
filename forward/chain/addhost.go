package chain

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/crypto/ssh"
)

// hostLine returns the known_hosts line for a host's key, or "" if the name cannot be in one
// because it would be parsed as something else.
func hostLine(host string, key ssh.PublicKey) string {
	if !plainName(host) {
		return ""
	}
	return host + " " + keyText(key)
}

func keyText(key ssh.PublicKey) string {
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n")
}

// plainName reports whether a name matches only itself on a known_hosts line. A space or line feed
// in it would begin another field or line (golang/go#81537), and a * would match other hosts.
func plainName(host string) bool {
	for _, r := range host {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_:[]%", r) {
			return false
		}
	}
	return host != ""
}

// appendHost appends a line to a known_hosts file, and creates the file if it is missing. It makes
// one write in append mode, so programs that append at the same time do not mix their lines.
func appendHost(file, host string, key ssh.PublicKey) error {
	line := hostLine(host, key)
	if line == "" {
		return errors.New("its name does not fit into the file")
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	data, err := readFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", file, err)
	}
	if hashesNames(data) {
		line = hashHost(host) + " " + keyText(key)
	}
	line += "\n"
	if len(data) > 0 && data[len(data)-1] != '\n' {
		line = "\n" + line // otherwise it would become part of the last line
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// hashesNames reports whether the file has hashed names (HashKnownHosts). ssh knows that from its
// configuration; this package sees only what ssh wrote.
func hashesNames(data []byte) bool {
	return bytes.HasPrefix(data, []byte("|1|")) || bytes.Contains(data, []byte("\n|1|"))
}
