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

// checkConfig: what cscs and ssh are told about the way.
func (v *diagnosis) checkConfig(ctx context.Context) []finding {
	v.target = v.cfg.Target(ctx)
	if v.target.HostsErr != nil {
		return singleFinding(failureFinding("", v.target.HostsErr))
	}
	var names []string
	for _, h := range v.target.Hosts {
		names = append(names, h.Addr())
	}
	return singleFinding(okFinding("", "the way is "+strings.Join(names, ", then ")))
}

// checkFiles: what others may write, and whether we can.
func (v *diagnosis) checkFiles(context.Context) []finding {
	var found []finding
	for _, f := range []struct{ path, fix string }{{v.cfg.SSHDir, "chmod 700 "}, {v.cfg.SSHConfig, "chmod 600 "}} {
		info, err := os.Stat(f.path)
		if err != nil || runtime.GOOS == "windows" { // what is not there does no harm, and Windows has other rules
			continue
		}
		if mode := info.Mode().Perm(); mode&0o022 != 0 {
			found = append(found, failureFinding("", &ModeError{Path: f.path, Mode: uint32(mode), Fix: f.fix + shellescape.Quote(f.path)}))
		}
	}
	found = append(found, v.checkSettings()...)
	if info, err := os.Stat(v.cfg.SSHDir); err == nil && runtime.GOOS != "windows" {
		err := mayWrite(v.cfg.SSHDir)
		if !info.IsDir() {
			err = syscall.ENOTDIR
		}
		if err != nil {
			found = append(found, warningFinding("", &SSHDirError{Path: v.cfg.SSHDir, Err: err}))
		}
	}
	if err := tryRead(v.cfg.SSHConfig); err != nil { // ssh passes it over, and says nothing
		found = append(found, warningFinding("", &sshconfig.ReadError{File: v.cfg.SSHConfig, Err: err}))
	}
	if err := tryRead(v.cfg.knownHosts()); err != nil {
		found = append(found, warningFinding("", &chain.PassedOverError{File: v.cfg.knownHosts(), Err: err}))
	}
	if err := tryWrite(v.cfg.StateDir); err != nil {
		found = append(found, failureFinding("", &UnwritableError{Path: v.cfg.StateDir, Err: err}))
	}
	if len(found) == 0 {
		return singleFinding(okFinding("", v.cfg.SSHDir+" and "+v.cfg.StateDir+" are as they should be"))
	}
	return found
}

// checkSettings: whether others may write config.toml, or put another in its place. Many systems
// give each user a group of their own, and let it write: that is but a warning, unless an access
// control list may let others write, too.
func (v *diagnosis) checkSettings() (found []finding) {
	if v.cfg.Settings == "" || runtime.GOOS == "windows" {
		return nil
	}
	for _, path := range []string{filepath.Dir(v.cfg.Settings), v.cfg.Settings} {
		info, err := os.Stat(path)
		if err != nil || info.IsDir() && info.Mode()&os.ModeSticky != 0 { // in such a one, only the owner replaces a file
			continue
		}
		e := &ModeError{Path: path, Mode: uint32(info.Mode().Perm()), Fix: "chmod go-w " + shellescape.Quote(path)}
		switch mode := info.Mode().Perm(); {
		case mode&0o002 != 0, mode&0o020 != 0 && owndir.HasACL(path):
			found = append(found, failureFinding("", e))
		case mode&0o020 != 0:
			found = append(found, warningFinding("", e))
		}
	}
	return found
}

// knownHosts is where the user's known host keys usually are.
func (c Config) knownHosts() string { return filepath.Join(c.SSHDir, "known_hosts") }

// errNoFile: what should be a file is there, and is none.
var errNoFile = errors.New("it is no regular file")

// tryRead tries it, if it is there; a device, which is mostly the null one, is as good as nothing.
func tryRead(file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR): // the second is the directory's fault
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

// tryWrite tries it: permissions say little of read-only and full file systems.
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

// expiryNotice is when a certificate is worth renewing.
const expiryNotice = 2 * time.Hour

// checkKey: the one that is shown, and its certificate.
func (v *diagnosis) checkKey(ctx context.Context) []finding {
	var shut *key.PassphraseError
	if err := v.target.KeyErr; errors.As(err, &shut) { // as good as any, but not to be tried
		return singleFinding(finding{status: Warning, err: &ShutKeyError{Err: shut, Locked: !shut.Alone && v.mayBeLocked(ctx)}, blockReason: "the key's passphrase, which was not given"})
	} else if err != nil {
		found := singleFinding(failureFinding("", err))
		if c := clockOf(err); c != nil {
			found = append(found, warningFinding("", c))
		}
		return found
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
			found = append(found, warningFinding(h.Name, &BareKeyError{Path: path}))
		} else {
			if !id.ValidBefore.IsZero() && id.ValidBefore.Sub(v.cfg.Now()) < expiryNotice {
				found = append(found, warningFinding(h.Name, &ExpiresError{Path: path, Until: id.ValidBefore}))
			}
			if len(id.Principals) > 0 && !slices.Contains(id.Principals, h.User) {
				found = append(found, warningFinding(h.Name, &PrincipalError{Host: h.Name, User: h.User, For: id.Principals}))
			}
			if err := id.Unfit(); err != nil {
				found = append(found, failureFinding(h.Name, err))
			}
		}
		if len(found) == before {
			until := "for ever"
			if !id.ValidBefore.IsZero() {
				until = "until " + id.ValidBefore.Local().Format("Mon 2 Jan 15:04")
			}
			found = append(found, okFinding(h.Name, fmt.Sprintf("%s, a certificate for %s, valid %s", path, strings.Join(id.Principals, ", "), until)))
		}
	}
	return found
}

// clockOf guesses at this machine's clock by when a certificate was stored here: it cannot have
// been before it was made. After it had run out, it can: by a copy, or from a backup.
func clockOf(err error) error {
	var early *key.NotYetValidError
	if !errors.As(err, &early) {
		return nil
	}
	if at, ok := modificationTime(early.Path); ok && at.Before(early.From) {
		return &ClockError{Ahead: at.Sub(early.From), Of: "the service that signed the key", Guess: true}
	}
	return nil
}

func modificationTime(path string) (time.Time, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, false
	}
	return info.ModTime(), true
}

// mostKeys is how many keys a client may show before an OpenSSH server hangs up, but for one
// (sshd_config(5), MaxAuthTries).
const mostKeys = 5

// checkAgent: whether there is one, and what it holds.
func (v *diagnosis) checkAgent(ctx context.Context) []finding {
	n, err := v.theirAgent().Count(ctx)
	var shut *key.PassphraseError
	var none *key.NoAgentError
	switch {
	case errors.As(err, &none) && !errors.As(v.target.KeyErr, &shut):
		return singleFinding(okFinding("", "none runs, and none is needed"))
	case err != nil:
		return singleFinding(warningFinding("", err))
	case n > mostKeys && v.chosenOnly():
		return singleFinding(okFinding("", fmt.Sprintf("it holds %d identities (keys and certificates), of which ssh shows those that are chosen (IdentitiesOnly)", n)))
	case n > mostKeys:
		return singleFinding(warningFinding("", &ManyKeysError{Keys: n, Only: v.onlyThere()}))
	case n == 0 && v.target.KeyErr != nil && v.mayBeLocked(ctx):
		return singleFinding(warningFinding("", &LockedAgentError{}))
	}
	if n == 0 {
		return singleFinding(okFinding("", "it holds no keys; a locked one says so, too, and is unlocked by ssh-add -X"))
	}
	return singleFinding(okFinding("", fmt.Sprintf("it holds %d identities (keys and certificates)", n)))
}

func (v *diagnosis) theirAgent() key.Agent {
	return key.FindAgent(v.target.Hosts[len(v.target.Hosts)-1].IdentityAgent)
}

// mayBeLocked reports whether the agent holds nothing, and whoever knows its password may know better.
func (v *diagnosis) mayBeLocked(ctx context.Context) bool {
	n, err := v.theirAgent().Count(ctx)
	return err == nil && n == 0 && v.theirAgent().MayBeLocked(ctx)
}

// chosenOnly reports whether ssh shows all hosts of the way no key but those that are configured.
func (v *diagnosis) chosenOnly() bool {
	return !slices.ContainsFunc(v.target.Hosts, func(h site.Host) bool { return !h.IdentitiesOnly })
}

// onlyThere are the keys of the way that nobody has but the agent.
func (v *diagnosis) onlyThere() (only []ssh.PublicKey) {
	for i, id := range v.target.Keys {
		if !id.Agent || id.Path != "" && !strings.HasSuffix(id.Path, ".pub") || slices.Contains(v.target.Keys[:i], id) {
			continue
		}
		pub := id.Signer.PublicKey()
		if id.Cert != nil { // it may be held with its certificate and without
			only, pub = append(only, id.Cert), id.Cert.Key
		}
		only = append(only, pub)
	}
	return only
}

// checkPorts: whether servers can have those that they usually get here.
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
			found = append(found, failureFinding("", err))
		default: // the next free one is taken
			found = append(found, warningFinding("", err))
		}
	}
	if len(found) == 0 {
		return singleFinding(okFinding("", "free: "+strings.Join(free, ", ")))
	}
	return found
}

// checkBrowser: whether there is one that can show itself.
func (v *diagnosis) checkBrowser(context.Context) []finding {
	if !v.cfg.CanOpen() {
		return singleFinding(warningFinding("", browser.ErrNoBrowser))
	}
	return singleFinding(okFinding("", "there is one"))
}
