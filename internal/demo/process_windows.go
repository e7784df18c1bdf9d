package demo

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/alps-tunnel/cscs/internal/spawn"
)

const venvPrograms = "Scripts"

// startProcess starts a server in a job object. Windows ends the job object's processes when its
// last handle closes, as it does when this process ends. A server is killed without being asked
// to end.
func startProcess(argv, env []string, dir string, log io.Writer) (*process, error) {
	object, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, err
	}
	closeObject := sync.OnceFunc(func() { _ = windows.CloseHandle(object) })
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	if _, err := windows.SetInformationJobObject(object, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))); err != nil {
		closeObject()
		return nil, err
	}
	out, logged, err := logPipe(log)
	if err != nil {
		closeObject()
		return nil, err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.CommandContext(context.Background(), argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, dir, out, out
	cmd.SysProcAttr = spawn.Detached()
	if err := cmd.Start(); err != nil {
		closeObject()
		return nil, err
	}
	handle, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(cmd.Process.Pid))
	if err == nil {
		err = windows.AssignProcessToJobObject(object, handle)
		_ = windows.CloseHandle(handle)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		closeObject()
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, done: make(chan struct{})}
	p.kill = func(bool) { closeObject() }
	go func() { // ends with the process
		defer close(p.done)
		err := cmd.Wait()
		closeObject()
		_ = out.Close()
		logged()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			p.code = exit.ExitCode()
		} else if err != nil {
			p.code = 1
		}
	}()
	return p, nil
}

// runKeeper fails: a system with job objects needs no keeper.
func runKeeper([]string) int { return 97 }
