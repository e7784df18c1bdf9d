package site

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/kevinburke/ssh_config"

	"github.com/alps-tunnel/cscs/internal/regular"
)

var errNoSSH = errors.New("there is no ssh program")

// newFallback reads ssh's configuration without an ssh program. It skips Match blocks, with one warning
// per file. The library implements Host blocks, Include and the rule that the first value wins.
func (a *asker) newFallback() func(context.Context, question) (settings, error) {
	files := []string{a.file}
	if a.file == "" {
		files = []string{expandHome("~/.ssh/config")}
		if runtime.GOOS != "windows" {
			files = append(files, "/etc/ssh/ssh_config")
		} else if dir := os.Getenv("ProgramData"); dir != "" {
			files = append(files, filepath.Join(dir, "ssh", "ssh_config"))
		}
	}
	var configs []*ssh_config.Config
	for _, name := range files {
		data, _, err := regular.Read(name)
		if errors.Is(err, fs.ErrNotExist) && a.file == "" || name == os.DevNull {
			continue
		}
		var cfg *ssh_config.Config
		skipped := false
		if err == nil {
			data, skipped = withoutMatch(data)
			cfg, err = ssh_config.DecodeBytes(data)
		}
		switch {
		case err != nil:
			a.warnings = append(a.warnings, fmt.Sprintf("%s is not used: %v, and %v to read it", name, regular.Reason(err), errNoSSH))
			continue
		case skipped:
			a.warnings = append(a.warnings, fmt.Sprintf("the Match blocks of %s are not used: %v to judge them", name, errNoSSH))
		}
		configs = append(configs, cfg)
	}
	return func(_ context.Context, q question) (settings, error) { return readSettings(configs, q) }
}

var matchLine = regexp.MustCompile(`(?i)^\s*match[\s=]`)
var blockLine = regexp.MustCompile(`(?i)^\s*(match|host)[\s=]`)
var matchAll = regexp.MustCompile(`(?i)^\s*match\s+(final\s+)?all\s*$`)

// withoutMatch removes Match blocks, since the library refuses a file that has one. It turns "Match
// all" and "Match final all" (in Fedora's own file) into "Host *", which means the same here.
func withoutMatch(data []byte) (rest []byte, skipped bool) {
	var out bytes.Buffer
	drop := false
	for line := range bytes.Lines(data) {
		switch {
		case matchAll.Match(bytes.TrimSpace(line)):
			drop, line = false, []byte("Host *\n")
		case matchLine.Match(line):
			drop, skipped = true, true
		case blockLine.Match(line):
			drop = false
		}
		if drop {
			line = []byte("\n") // keeps line numbers in errors correct
		}
		out.Write(line)
	}
	return out.Bytes(), skipped
}

var fallbackKeys = []string{
	"HostName", "User", "Port", "ProxyJump", "ProxyCommand", "IdentitiesOnly", "IdentityAgent", "UserKnownHostsFile",
	"GlobalKnownHostsFile", "HostKeyAlias", "StrictHostKeyChecking", "AddressFamily", "ConnectTimeout", "IdentityFile", "CertificateFile",
}

// readSettings returns the settings of the configurations for a question, with ssh's defaults.
func readSettings(configs []*ssh_config.Config, q question) (settings, error) {
	s := settings{port: 22, strict: "ask", addressFamily: "any"}
	s.userKnownHosts = []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2"}
	if runtime.GOOS != "windows" {
		s.globalKnownHosts = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	}
	for _, key := range fallbackKeys {
		var values []string
		for _, cfg := range configs {
			v, err := cfg.GetAll(q.name, key)
			if err != nil {
				return s, &SSHConfigError{Host: q.name, Message: err.Error()}
			}
			values = append(values, v...)
		}
		if key != "IdentityFile" && key != "CertificateFile" { // ssh uses all values of these
			values = values[:min(len(values), 1)]
		}
		for _, v := range values {
			s.setKeyword(strings.ToLower(key), strings.Trim(v, `"`))
		}
	}
	s.hostName = cmp.Or(strings.ReplaceAll(s.hostName, "%h", q.name), q.name)
	s.user = cmp.Or(q.user, s.user)
	s.port = cmp.Or(q.port, s.port)
	return s, nil
}
