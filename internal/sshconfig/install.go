package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/internal/matchexec"
	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/regular"
)

// Files are where ssh's configuration is on this machine.
type Files struct {
	Config string // the user's own
	Part   string // the file of ours that it includes
	Backup string // the user's own as it was before it included ours
	Known  string // the host keys of sessions' nodes
}

// In returns the files for a user's own configuration of that name.
func In(config, known string) Files {
	return Files{Config: config, Part: filepath.Join(filepath.Dir(config), "cscs_config"), Backup: config + ".before-cscs", Known: known}
}

// A RefusedError tells that ssh does not accept its configuration.
type RefusedError struct {
	File    string // as the user knows it
	Message string // ssh's own words
	Before  bool   // and that it did not before anything of ours was in it
}

func (e *RefusedError) Error() string { return "ssh refuses " + e.File + ": " + e.Message }

// A WriteError tells that a file of the user's could not be written; by hand it can be
// done all the same.
type WriteError struct {
	File string
	Line string // that belongs at its top
	Out  bool   // no, that is to be taken out of it, be it a line or a word of one
	Err  error
}

func (e *WriteError) Error() string { return "write " + e.File + ": " + e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }

// A ReadError tells that a file of ssh's configuration is there and cannot be read.
type ReadError struct {
	File string
	Err  error
}

func (e *ReadError) Error() string {
	if special := (*regular.Error)(nil); errors.As(e.Err, &special) {
		return special.Error()
	}
	return "read " + e.File + ": " + e.Err.Error()
}
func (e *ReadError) Unwrap() error { return e.Err }

// A ForeignError tells that somebody else's file is where ours would be.
type ForeignError struct{ File string }

func (e *ForeignError) Error() string { return e.File + " is not a file of cscs's" }

// Install writes text as the file of ours and has the user's own include it. Each file is
// written whole or not at all, ours first. What ssh does not accept is taken back. Where only the
// user's own cannot be written, ours stays: the line may be put there by other means. What another
// program saves in the user's own file meanwhile stays in it.
//
// Errors: *RefusedError, *WriteError, *ReadError, *ForeignError, *owndir.Error, *owndir.OwnerError; those of the file
// system and of ctx, for the lock.
func (f Files) Install(ctx context.Context, text string) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	for range maxAttempts {
		if err = f.tryInstall(ctx, text); !errors.Is(err, errChanged) {
			return err
		}
	}
	return &WriteError{File: f.Config, Line: f.includeLine(), Err: err}
}

// errChanged tells that another program has written a file since it was read.
var errChanged = errors.New("another program keeps changing it")

// maxAttempts is how often a change of the user's own file starts over when another program has
// written the file meanwhile.
const maxAttempts = 5

// tryInstall is one attempt of Install. Its error wraps errChanged if the user's own file is not what it
// was at the beginning; it is left as it is then.
func (f Files) tryInstall(ctx context.Context, text string) error {
	before, existed, err := loadFile(f.Config)
	if err != nil {
		return err
	}
	partBefore, partExisted, err := f.readPart()
	if err != nil {
		return err
	}
	if existed {
		if err := checkWithSSH(ctx, f.Config); err != nil {
			return &RefusedError{File: f.Config, Message: err.Error(), Before: true}
		}
	}
	if err := os.MkdirAll(filepath.Dir(f.Config), 0o700); err != nil {
		return &WriteError{File: f.Config, Err: regular.Reason(err)}
	}
	if err := writeOwnFile(f.Part, []byte(text)); err != nil {
		return &WriteError{File: f.Part, Err: regular.Reason(err)} // not by the name of a temporary file
	}
	undo := func() {
		if partExisted {
			_ = writeOwnFile(f.Part, partBefore)
		} else {
			_ = removeTarget(f.Part)
		}
	}
	if err := checkWithSSH(ctx, f.Part); err != nil {
		undo()
		return &RefusedError{File: f.Part, Message: err.Error()}
	}
	after := f.insertInclude(before, func(line []byte) bool { return f.isPartRead(ctx, line) })
	if bytes.Equal(after, before) {
		return nil
	}
	unkeep := func() {}
	if existed {
		if unkeep, err = f.backUp(before); err != nil {
			undo()
			return &WriteError{File: f.Backup, Err: regular.Reason(err)}
		}
	}
	if err := f.replaceConfig(before, existed, after); err != nil {
		if errors.Is(err, errChanged) || f.isUnchanged(before, existed) {
			unkeep()
		}
		return &WriteError{File: f.Config, Line: f.includeLine(), Err: regular.Reason(err)}
	}
	if err := checkWithSSH(ctx, f.Config); err != nil {
		if existed {
			_ = f.replaceConfig(after, true, before)
		} else if f.isUnchanged(after, true) {
			_ = removeTarget(f.Config)
		}
		if f.isUnchanged(before, existed) { // else the backup is the only copy of it
			unkeep()
		}
		undo()
		return &RefusedError{File: f.Config, Message: err.Error()}
	}
	return nil
}

// Uninstall takes everything of ours away again. The user's own file stays with what the
// user has written in it since, and with the lines whose patterns have included ours beside other
// files, which are told: they include nothing of ours any more.
//
// Errors: as Install's, but no *RefusedError.
func (f Files) Uninstall(ctx context.Context) (left []string, err error) {
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for range maxAttempts {
		if left, err = f.tryUninstall(); !errors.Is(err, errChanged) {
			break
		}
	}
	return left, err
}

// tryUninstall is one attempt of Uninstall, see install.
func (f Files) tryUninstall() (left []string, err error) {
	data, existed, err := loadFile(f.Config)
	if err != nil {
		return nil, err
	}
	if _, _, err := f.readPart(); err != nil {
		return nil, err
	}
	if existed {
		left = f.remainingLines(f.removeInclude(data))
		err = f.excludePart(data)
	}
	if e := removeTarget(f.Part); e != nil && !errors.Is(e, fs.ErrNotExist) {
		return left, e
	}
	for _, name := range []string{f.Known, f.Known + ".lock"} {
		if e := removeFile(name); e != nil && !errors.Is(e, fs.ErrNotExist) {
			return left, e
		}
	}
	return left, err // ssh does not mind a line that includes nothing
}

// excludePart takes our file out of the user's own file, and the file away if it was made for it.
func (f Files) excludePart(data []byte) error {
	rest := f.removeInclude(data)
	backup, _, err := regular.Read(f.Backup)
	switch {
	case bytes.Equal(rest, data):
	case len(rest) == 0 && err != nil:
		if at, err := resolveLinks(f.Config); err == nil && regular.CheckNames(at) == nil && f.isUnchanged(data, true) {
			return removeFile(at)
		}
		fallthrough
	default:
		if err := f.replaceConfig(data, true, rest); err != nil {
			return &WriteError{File: f.Config, Line: f.removableInclude(data), Out: true, Err: regular.Reason(err)}
		}
	}
	if err == nil && bytes.Equal(backup, rest) {
		return removeFile(f.Backup)
	}
	return nil
}

// removeFile takes a file away; where it cannot, that is the directory's fault.
func removeFile(name string) error {
	if err := os.Remove(name); err != nil {
		return &WriteError{File: name, Err: regular.Reason(err)}
	}
	return nil
}

// removeTarget removes the file that a name leads to. A link is the user's, and stays: cscs makes none.
func removeTarget(name string) error {
	at, err := resolveLinks(name)
	if err != nil {
		return &WriteError{File: name, Err: regular.Reason(err)}
	}
	return removeFile(at)
}

// Without is the user's own configuration without what our file has, for ssh -F: "none" if there
// is none. done removes what was made for it.
func (f Files) Without() (file string, done func(), err error) {
	data, existed, err := loadFile(f.Config)
	if err != nil {
		return "", nil, err
	}
	if !existed {
		return "none", func() {}, nil
	}
	var made []string
	done = func() {
		for _, name := range made {
			_ = os.Remove(name)
		}
	}
	keep := func(data []byte) (string, error) {
		name, err := writeTempFile(data)
		if err == nil {
			made = append(made, name)
		}
		return name, err
	}
	h := partHider{files: f, keep: keep, replacements: map[string]string{}}
	rest := h.hidePart(data)
	file, err = f.Config, h.err
	if err == nil && !bytes.Equal(rest, data) {
		file, err = keep(rest)
	}
	if err != nil {
		done()
		return "", nil, err
	}
	return file, done, nil
}

// writeTempFile is a new file with that in it, for nobody else to read.
func writeTempFile(data []byte) (file string, err error) {
	if err := owndir.CheckParent(os.TempDir()); err != nil {
		return "", err // others could put another in its place, with commands for ssh to run
	}
	tmp, err := os.CreateTemp("", "cscs-ssh-config-")
	if err != nil {
		return "", err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Close()); err != nil {
		_ = os.Remove(tmp.Name())
		return "", err
	}
	return tmp.Name(), nil
}

// backUp keeps the user's own file as it was, once; undo takes away what it has made.
func (f Files) backUp(data []byte) (undo func(), err error) {
	b, err := os.OpenFile(f.Backup, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	undo = func() { _ = os.Remove(f.Backup) }
	_, err = b.Write(data)
	if err = errors.Join(err, b.Close()); err != nil {
		undo()
	}
	return undo, err
}

// loadFile reads a file, if it is there.
func loadFile(name string) (data []byte, existed bool, err error) {
	data, _, err = regular.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, &ReadError{File: name, Err: regular.Reason(err)}
	}
	return data, true, nil
}

// readPart reads the file of ours, if it is there, and is ours.
func (f Files) readPart() (data []byte, existed bool, err error) {
	data, existed, err = loadFile(f.Part)
	if existed && !bytes.HasPrefix(data, []byte(fileMarker)) {
		err = &ForeignError{File: f.Part}
	}
	return data, existed, err
}

// isUnchanged reports whether the user's own file is still that.
func (f Files) isUnchanged(data []byte, exists bool) bool {
	now, there, err := loadFile(f.Config)
	return err == nil && there == exists && bytes.Equal(now, data)
}

// replaceConfig writes the user's own file, if it is still as it was before; else it returns errChanged. A
// symbolic link stays one, and what it leads to is written.
func (f Files) replaceConfig(before []byte, existed bool, after []byte) error {
	return writeTarget(f.Config, func(target string, mode fs.FileMode) error {
		return regular.Replace(target, after, mode, func() error {
			if !f.isUnchanged(before, existed) {
				return errChanged
			}
			return nil
		})
	})
}

// writeOwnFile writes a file of ours whole or not at all; a symbolic link stays one, and what it
// leads to is written. What is there keeps its permissions.
func writeOwnFile(name string, data []byte) error {
	return writeTarget(name, func(target string, mode fs.FileMode) error { return regular.Write(target, data, mode) })
}

// writeTarget has the file that a name leads to written with its permissions.
func writeTarget(name string, write func(target string, mode fs.FileMode) error) error {
	target, err := resolveLinks(name)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(target); err == nil {
		mode = info.Mode().Perm()
	}
	if err := write(target, mode); err != nil {
		return err
	}
	return os.Chmod(target, mode) // the umask may have taken some of it
}

// maxLinks is how many symbolic links may lead to a file, as on Linux (path_resolution(7)).
const maxLinks = 40

// resolveLinks is the file itself, that a name leads to, whether there is one yet or not.
func resolveLinks(name string) (string, error) {
	for range maxLinks {
		target, err := filepath.EvalSymlinks(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return target, err
		}
		to, err := os.Readlink(name)
		if err != nil {
			return name, nil //nolint:nilerr // it is no link: nothing is there yet
		}
		if name, err = joinLinkTarget(to, filepath.Dir(name)); err != nil {
			return "", err
		}
	}
	return "", &fs.PathError{Op: "open", Path: name, Err: errLinks}
}

var errLinks = errors.New("too many levels of symbolic links")

// joinLinkTarget is the path of a link's target, for a link in dir. The parent of a directory that is a link
// itself is that of its target.
func joinLinkTarget(to, dir string) (string, error) {
	if filepath.IsAbs(to) {
		return to, nil
	}
	real, err := filepath.EvalSymlinks(dir)
	return filepath.Join(real, to), err
}

// checkWithSSH asks ssh whether it accepts a file; where there is no ssh, nobody refuses it.
func checkWithSSH(ctx context.Context, file string) error {
	said, err := runSSHCheck(ctx, file)
	if none := (*exec.Error)(nil); errors.As(err, &none) {
		return nil
	}
	if s := strings.TrimSpace(said); err != nil && s != "" {
		return errors.New(s[:min(len(s), 500)])
	}
	return err
}

// isPartRead asks ssh whether it reads our file for a line of the user's; where there is no ssh, nobody
// does.
func (f Files) isPartRead(ctx context.Context, line []byte) bool {
	file, err := writeTempFile(line)
	if err != nil {
		return false
	}
	defer func() { _ = os.Remove(file) }()
	said, _ := runSSHCheck(ctx, file, "-v")
	for told := range strings.Lines(said) {
		_, name, ok := strings.Cut(strings.TrimSpace(told), "Reading configuration data ")
		if ok && f.isPartPath(name) {
			return true
		}
	}
	return false
}

// runSSHCheck has ssh read a configuration, and is what it says of that.
func runSSHCheck(ctx context.Context, file string, flags ...string) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var b bytes.Buffer
	cmd := exec.CommandContext(ctx, "ssh", append(flags, "-T", "-G", "-F", file, Prefix+"check")...)
	cmd.Stderr = &b
	cmd.WaitDelay = time.Second
	err = matchexec.Run(ctx, cmd)
	return b.String(), err
}
