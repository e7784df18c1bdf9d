package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"al.essio.dev/pkg/shellescape"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/regular"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/sshconfig"
)

// checkConfig reads the route from the configuration of cscs and ssh.
func (v *diagnosis) checkConfig(ctx context.Context) []finding {
	v.target = v.cfg.Target(ctx)
	if v.target.HostsErr != nil {
		return failureFinding("", v.target.HostsErr)
	}
	var names []string
	for _, h := range v.target.Hosts {
		names = append(names, h.Addr())
	}
	return withFacts(okFinding("", "the way is "+strings.Join(names, ", then ")), "hosts: %d", len(names))
}

// checkFiles checks that other users cannot write the configuration, and that cscs can write.
func (v *diagnosis) checkFiles(context.Context) []finding {
	var found []finding
	for _, f := range []struct{ path, fix string }{{v.cfg.SSHDir, "chmod 700 "}, {v.cfg.SSHConfig, "chmod 600 "}} {
		info, err := os.Stat(f.path)
		if err != nil || runtime.GOOS == "windows" { // a missing file does no harm, and Windows has other rules
			continue
		}
		if mode := info.Mode().Perm(); mode&0o022 != 0 {
			found = append(found, failureFinding("", &ModeError{Path: f.path, Mode: uint32(mode), Fix: f.fix + shellescape.Quote(f.path)})...)
		}
	}
	found = append(found, v.checkSettings()...)
	if v.cfg.SiteErr != nil { // the user may be unable to change that file
		found = append(found, warningFinding("", v.cfg.SiteErr)...)
	}
	if info, err := os.Stat(v.cfg.SSHDir); err == nil && runtime.GOOS != "windows" {
		err := mayWrite(v.cfg.SSHDir)
		if !info.IsDir() {
			err = syscall.ENOTDIR
		}
		if err != nil {
			found = append(found, warningFinding("", &UnwritableError{Path: v.cfg.SSHDir, IsSSH: true, Err: err})...)
		}
	}
	if err := tryRead(v.cfg.SSHConfig); err != nil { // ssh ignores the file without a message
		found = append(found, warningFinding("", &sshconfig.ReadError{File: v.cfg.SSHConfig, Err: err})...)
	}
	if err := tryRead(v.cfg.knownHosts()); err != nil {
		found = append(found, warningFinding("", &chain.PassedOverError{File: v.cfg.knownHosts(), Err: err})...)
	}
	if err := tryWrite(v.cfg.StateDir); err != nil {
		found = append(found, failureFinding("", &UnwritableError{Path: v.cfg.StateDir, Err: err})...)
	}
	if len(found) == 0 {
		return okFinding("", v.cfg.SSHDir+" and "+v.cfg.StateDir+" are as they should be")
	}
	return found
}

// checkSettings checks whether other users may write or replace config.toml. Many systems give each
// user a private group that may write: that is a warning only, unless an access control list may
// let others write too.
func (v *diagnosis) checkSettings() (found []finding) {
	if v.cfg.Settings == "" || runtime.GOOS == "windows" {
		return nil
	}
	for _, path := range []string{filepath.Dir(v.cfg.Settings), v.cfg.Settings} {
		info, err := os.Stat(path)
		if err != nil || info.IsDir() && info.Mode()&os.ModeSticky != 0 { // sticky: only the owner replaces a file
			continue
		}
		e := &ModeError{Path: path, Mode: uint32(info.Mode().Perm()), Fix: "chmod go-w " + shellescape.Quote(path)}
		switch mode := info.Mode().Perm(); {
		case mode&0o002 != 0, mode&0o020 != 0 && owndir.HasACL(path):
			found = append(found, failureFinding("", e)...)
		case mode&0o020 != 0:
			found = append(found, warningFinding("", e)...)
		}
	}
	return found
}

// knownHosts returns the usual path of the user's known_hosts.
func (c Config) knownHosts() string { return filepath.Join(c.SSHDir, "known_hosts") }

// errNoFile reports that a path leads to something other than a regular file.
var errNoFile = errors.New("it is no regular file")

// tryRead opens a file if it exists. It accepts a device, usually /dev/null, without opening it.
func tryRead(file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR): // ENOTDIR: the directory's check reports it
		return nil
	case err != nil:
		return regular.Reason(err)
	case info.Mode()&os.ModeDevice != 0:
		return nil
	case !info.Mode().IsRegular():
		return errNoFile
	}
	f, err := os.Open(file)
	if err != nil {
		return regular.Reason(err)
	}
	return f.Close()
}

// tryWrite writes and removes a file of 4 KiB. Permissions say little about read-only and full file
// systems.
func tryWrite(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return regular.Reason(err)
	}
	f, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return regular.Reason(err)
	}
	_, err = f.Write(make([]byte, 4096))
	err = errors.Join(err, f.Close())
	return errors.Join(regular.Reason(err), os.Remove(f.Name()))
}

// expiryNotice is the remaining validity below which a certificate is reported.
const expiryNotice = 2 * time.Hour

// checkKey checks the key for each host, and its certificate.
func (v *diagnosis) checkKey(ctx context.Context) []finding {
	var shut *key.PassphraseError
	if err := v.target.KeyErr; errors.As(err, &shut) { // the key may be good, but it cannot be tried
		found := warningFinding("", &ShutKeyError{Err: shut, Locked: !shut.Alone && v.mayBeLocked(ctx)})
		found[0].blockReason = "the key's passphrase, which is not known"
		return found
	} else if err != nil {
		return append(failureFinding("", err), estimateClock(err)...)
	}
	var found []finding
	for i, id := range v.target.Keys {
		h := v.target.Hosts[i]
		if i > 0 && id == v.target.Keys[i-1] && h.User == v.target.Hosts[i-1].User {
			continue
		}
		before := len(found)
		path := id.Name()
		if id.Cert == nil {
			found = append(found, warningFinding(h.Name, errorf("key-bare", "the key %s has no certificate", path))...)
		} else {
			if !id.ValidBefore.IsZero() && id.ValidBefore.Sub(v.cfg.Now()) < expiryNotice {
				found = append(found, warningFinding(h.Name, errorf("key-expires", "the certificate of %s is valid only until %s", path, id.ValidBefore.Local().Format("15:04")))...)
			}
			if len(id.Principals) > 0 && !slices.Contains(id.Principals, h.User) {
				found = append(found, warningFinding(h.Name, &PrincipalError{Host: h.Name, User: h.User, For: id.Principals})...)
			}
			if err := id.Unfit(); err != nil {
				found = append(found, failureFinding(h.Name, err)...)
			}
		}
		if len(found) == before {
			until := "forever"
			if !id.ValidBefore.IsZero() {
				until = "until " + id.ValidBefore.Local().Format("Mon 2 Jan 15:04")
			}
			seen := okFinding(h.Name, fmt.Sprintf("%s, a certificate for %s, valid %s", path, strings.Join(id.Principals, ", "), until))
			if !id.ValidBefore.IsZero() {
				seen = withFacts(seen, "valid for %s", roundDuration(id.ValidBefore.Sub(v.cfg.Now())))
			}
			found = append(found, seen...)
		}
	}
	return found
}

// estimateClock estimates this machine's clock from the time of a certificate's file. A file older than
// the certificate means that the clock is slow. A newer file proves nothing: it may be a copy or
// from a backup.
func estimateClock(err error) []finding {
	var early *key.NotYetValidError
	if !errors.As(err, &early) {
		return nil
	}
	if info, err := os.Stat(early.Path); err == nil && info.ModTime().Before(early.From) {
		return warningFinding("", &ClockError{Ahead: info.ModTime().Sub(early.From), Of: "the service that signed the key", Guess: true})
	}
	return nil
}

// mostKeys is how many keys a client can show before an OpenSSH server closes the connection. Its
// limit is six tries (MaxAuthTries, sshd_config(5)).
const mostKeys = 5

// checkAgent checks whether an agent runs, and how many keys it holds.
func (v *diagnosis) checkAgent(ctx context.Context) []finding {
	n, err := v.theirAgent().Count(ctx)
	switch {
	case errors.As(err, new(*key.NoAgentError)) && !errors.As(v.target.KeyErr, new(*key.PassphraseError)):
		return okFinding("", "none runs, and none is needed")
	case err != nil:
		return warningFinding("", err)
	case n > mostKeys && v.chosenOnly():
		return withFacts(okFinding("", fmt.Sprintf("it has %d identities (keys and certificates), of which ssh offers the chosen ones (IdentitiesOnly)", n)), "identities: %d, IdentitiesOnly", n)
	case n > mostKeys:
		return withFacts(warningFinding("", &ManyKeysError{Keys: n, Only: v.onlyThere()}), "identities: %d", n)
	case n == 0 && v.target.KeyErr != nil && v.mayBeLocked(ctx):
		return warningFinding("", errorf("agent-locked", "the agent holds no keys, or is locked"))
	}
	if n == 0 {
		return okFinding("", "it holds no keys; a locked one says so, too, and is unlocked by ssh-add -X")
	}
	return withFacts(okFinding("", fmt.Sprintf("it has %d identities (keys and certificates)", n)), "identities: %d", n)
}

func (v *diagnosis) theirAgent() key.Agent {
	return key.FindAgent(v.target.Hosts[len(v.target.Hosts)-1].IdentityAgent)
}

// mayBeLocked reports whether the agent holds no keys and may be locked.
func (v *diagnosis) mayBeLocked(ctx context.Context) bool {
	n, err := v.theirAgent().Count(ctx)
	return err == nil && n == 0 && v.theirAgent().MayBeLocked(ctx)
}

// chosenOnly reports whether ssh shows every host of the route only the configured keys.
func (v *diagnosis) chosenOnly() bool {
	return !slices.ContainsFunc(v.target.Hosts, func(h site.Host) bool { return !h.IdentitiesOnly })
}

// onlyThere returns the keys of the route that only the agent has.
func (v *diagnosis) onlyThere() (only []ssh.PublicKey) {
	for i, id := range v.target.Keys {
		if !id.Agent || id.Path != "" && !strings.HasSuffix(id.Path, ".pub") || slices.Contains(v.target.Keys[:i], id) {
			continue
		}
		pub := id.Signer.PublicKey()
		if id.Cert != nil { // the agent may hold it with and without its certificate
			only, pub = append(only, id.Cert), id.Cert.Key
		}
		only = append(only, pub)
	}
	return only
}

// checkPorts checks whether local ports can be opened, and those that servers usually get.
func (v *diagnosis) checkPorts(context.Context) []finding {
	var found []finding
	var free []string
	for _, p := range append([]int{0}, v.cfg.Ports...) {
		ln, err := forward.Listen(p)
		switch {
		case err == nil:
			_ = ln.Close()
			if p != 0 {
				free = append(free, fmt.Sprint(p))
			}
		case p == 0 || v.cfg.MustHave:
			found = append(found, failureFinding("", err)...)
		default: // cscs takes the next free port
			found = append(found, warningFinding("", err)...)
		}
	}
	if len(found) == 0 {
		return withFacts(okFinding("", "free: "+strings.Join(free, ", ")), "free: %d", len(free))
	}
	return found
}

// checkBrowser checks whether a browser can be opened.
func (v *diagnosis) checkBrowser(context.Context) []finding {
	if !v.cfg.CanOpen() {
		return warningFinding("", browser.ErrNoBrowser)
	}
	return okFinding("", "there is one")
}
