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
	"github.com/alps-tunnel/cscs/internal/regular"
)

// Files are the paths of ssh's configuration on this machine.
type Files struct {
	Config string // the user's own file
	Part   string // our file, which it includes
	Backup string // the user's own file as it was before cscs changed it
	Known  string // host keys of the nodes of sessions
}

// In returns the files that belong to the user's own configuration config.
func In(config, known string) Files {
	return Files{Config: config, Part: filepath.Join(filepath.Dir(config), "cscs_config"), Backup: config + ".before-cscs", Known: known}
}

// A RefusedError reports that ssh does not accept its configuration.
type RefusedError struct {
	File    string // the name that the user knows
	Message string // ssh's message
	Before  bool   // ssh refused it before we changed anything
}

func (e *RefusedError) Error() string { return "ssh refuses " + e.File + ": " + e.Message }

// A WriteError reports that a file of the user's could not be written. The user can change it by hand.
type WriteError struct {
	File string
	Line string // to add at the top, or to remove if Out, which may be the block
	Out  bool   // Line is to be removed
	Err  error
}

func (e *WriteError) Error() string { return "write " + e.File + ": " + e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }

// A ReadError reports that a file of ssh's configuration exists but cannot be read.
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

// A ForeignError reports that a file that cscs did not write has the name of our file.
type ForeignError struct{ File string }

func (e *ForeignError) Error() string { return e.File + " is not a file of cscs's" }

// Install writes text to our file and puts the block that includes it into the user's file. It replaces
// each file as a whole, ours first. If ssh refuses the result, Install restores the old files. If only
// the user's file cannot be written, our file stays, and the user can add the line. What another program
// writes to the user's file meanwhile is kept.
//
// own are the lines of the user's file that include our file and that cscs did not write. They stay. If
// one of them is before the first section, no block is needed and none is added.
//
// Errors: *RefusedError, *WriteError, *ReadError, *BlockError, *ForeignError, *owndir.Error,
// *owndir.OwnerError; those of the file system and of ctx, for the lock.
func (f Files) Install(ctx context.Context, text string) (own []string, err error) {
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for range maxAttempts {
		if own, err = f.tryInstall(ctx, text); !errors.Is(err, errChanged) {
			return own, err
		}
	}
	return nil, &WriteError{File: f.Config, Line: f.includeLine(), Err: err}
}

// errChanged reports that another program has written a file since it was read.
var errChanged = errors.New("another program keeps changing it")

// maxAttempts is how often a change of the user's file is tried if another program writes the file meanwhile.
const maxAttempts = 5

// tryInstall is one attempt of Install. Its error wraps errChanged if another program has changed the
// user's file meanwhile. It does not write the file then.
func (f Files) tryInstall(ctx context.Context, text string) (own []string, err error) {
	before, existed, err := loadFile(f.Config)
	if err != nil {
		return nil, err
	}
	after, err := f.putBlock(before)
	if err != nil {
		return nil, err
	}
	partBefore, partExisted, err := f.readPart()
	if err != nil {
		return nil, err
	}
	if existed {
		if err := checkWithSSH(ctx, f.Config); err != nil {
			return nil, &RefusedError{File: f.Config, Message: err.Error(), Before: true}
		}
	}
	if err := os.MkdirAll(filepath.Dir(f.Config), 0o700); err != nil {
		return nil, &WriteError{File: f.Config, Err: regular.Reason(err)}
	}
	if err := writeOwnFile(f.Part, []byte(text)); err != nil {
		return nil, &WriteError{File: f.Part, Err: regular.Reason(err)} // not with the name of a temporary file
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
		return nil, &RefusedError{File: f.Part, Message: err.Error()}
	}
	own, effective := f.findOwnIncludes(ctx, before)
	start, end, _ := f.findBlock(before)
	if bytes.Equal(after, before) || start == end && effective {
		return own, nil
	}
	unkeep := func() {}
	if existed {
		if unkeep, err = f.backUp(before); err != nil {
			undo()
			return nil, &WriteError{File: f.Backup, Err: regular.Reason(err)}
		}
	}
	if err := f.replaceConfig(before, existed, after); err != nil {
		changed := errors.Is(err, errChanged)
		if changed || f.isUnchanged(before, existed) {
			unkeep()
		}
		if effective && !changed { // the line of an earlier version does as well as the block
			return own, nil
		}
		return nil, &WriteError{File: f.Config, Line: f.includeLine(), Err: regular.Reason(err)}
	}
	if err := checkWithSSH(ctx, f.Config); err != nil {
		if existed {
			_ = f.replaceConfig(after, true, before)
		} else if f.isUnchanged(after, true) {
			_ = removeTarget(f.Config)
		}
		if f.isUnchanged(before, existed) { // else the backup is the only copy
			unkeep()
		}
		undo()
		return nil, &RefusedError{File: f.Config, Message: err.Error()}
	}
	return own, nil
}

// Uninstall removes all that Install wrote. The user's file keeps all other changes. It also keeps the
// lines with which the user included our file; Uninstall returns them. They include nothing of ours any
// more.
//
// Errors: as Install's, but no *RefusedError.
func (f Files) Uninstall(ctx context.Context) (own []string, err error) {
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for range maxAttempts {
		if own, err = f.tryUninstall(ctx); !errors.Is(err, errChanged) {
			break
		}
	}
	return own, err
}

// tryUninstall is one attempt of Uninstall, as tryInstall is of Install.
func (f Files) tryUninstall(ctx context.Context) (own []string, err error) {
	data, existed, err := loadFile(f.Config)
	if err != nil {
		return nil, err
	}
	rest, err := f.removeBlock(data)
	if err != nil {
		return nil, err
	}
	if _, _, err := f.readPart(); err != nil {
		return nil, err
	}
	if existed {
		own, _ = f.findOwnIncludes(ctx, data)
		err = f.excludePart(data, rest)
	}
	if e := removeTarget(f.Part); e != nil && !errors.Is(e, fs.ErrNotExist) {
		return own, e
	}
	for _, name := range []string{f.Known, f.Known + ".lock"} {
		if e := removeFile(name); e != nil && !errors.Is(e, fs.ErrNotExist) {
			return own, e
		}
	}
	return own, err // ssh accepts an Include of nothing
}

// excludePart replaces data, the content of the user's file, by rest. It deletes a file that Install created.
func (f Files) excludePart(data, rest []byte) error {
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
			line := f.includeLine()
			if len(findLines(data, blockBegin)) > 0 {
				line = blockBegin + " … " + blockEnd
			}
			return &WriteError{File: f.Config, Line: line, Out: true, Err: regular.Reason(err)}
		}
	}
	if err == nil && bytes.Equal(backup, rest) {
		return removeFile(f.Backup)
	}
	return nil
}

// removeFile removes a file. Its error is a *WriteError.
func removeFile(name string) error {
	if err := os.Remove(name); err != nil {
		return &WriteError{File: name, Err: regular.Reason(err)}
	}
	return nil
}

// removeTarget removes the file that a name leads to. A symbolic link stays, since only the user can have made it.
func removeTarget(name string) error {
	at, err := resolveLinks(name)
	if err != nil {
		return &WriteError{File: name, Err: regular.Reason(err)}
	}
	return removeFile(at)
}

// backUp copies the user's file once. undo removes a new copy.
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

// loadFile reads a file if it exists.
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

// readPart reads our file if it exists. It refuses a file that cscs did not write.
func (f Files) readPart() (data []byte, existed bool, err error) {
	data, existed, err = loadFile(f.Part)
	if existed && !bytes.HasPrefix(data, []byte(fileMarker)) {
		err = &ForeignError{File: f.Part}
	}
	return data, existed, err
}

// isUnchanged reports whether the user's file still contains data.
func (f Files) isUnchanged(data []byte, exists bool) bool {
	now, there, err := loadFile(f.Config)
	return err == nil && there == exists && bytes.Equal(now, data)
}

// replaceConfig replaces the user's file, or returns errChanged if the file differs from before. It
// keeps a symbolic link and writes its target.
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

// writeOwnFile replaces a file of ours as a whole and keeps its permissions. It keeps a symbolic link
// and writes its target.
func writeOwnFile(name string, data []byte) error {
	return writeTarget(name, func(target string, mode fs.FileMode) error { return regular.Write(target, data, mode) })
}

// writeTarget calls write for the file that a name leads to, with the permissions of that file (default 0600).
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
	return os.Chmod(target, mode) // the umask may have removed some bits
}

// maxLinks is the limit for a chain of symbolic links, as on Linux (path_resolution(7)).
const maxLinks = 40

// resolveLinks returns the file that a name leads to, even if it does not exist.
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

// joinLinkTarget returns the path of the target of a link in dir. It resolves dir first: the parent of
// a linked directory is its target's.
func joinLinkTarget(to, dir string) (string, error) {
	if filepath.IsAbs(to) {
		return to, nil
	}
	real, err := filepath.EvalSymlinks(dir)
	return filepath.Join(real, to), err
}

// checkWithSSH asks ssh whether it accepts a file. Without ssh it returns nil.
func checkWithSSH(ctx context.Context, file string) error {
	said, err := readWithSSH(ctx, file)
	if none := (*exec.Error)(nil); errors.As(err, &none) {
		return nil
	}
	if s := strings.TrimSpace(said); err != nil && s != "" {
		return errors.New(s[:min(len(s), 500)])
	}
	return err
}

// readWithSSH makes ssh read a configuration (ssh -G) and returns ssh's messages.
func readWithSSH(ctx context.Context, file string, flags ...string) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var b bytes.Buffer
	cmd := exec.CommandContext(ctx, "ssh", append(flags, "-T", "-G", "-F", file, Prefix+"check")...)
	cmd.Stderr = &b
	cmd.WaitDelay = time.Second
	err = matchexec.Run(ctx, cmd)
	return b.String(), err
}
