package windowstest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// sendEnv asks this program to send an event to the console of a process, as "PID EVENT". A process has one
// console at most, so a program of its own does that.
const sendEnv = "CSCS_TEST_SEND"

var (
	kernel32           = windows.NewLazySystemDLL("kernel32.dll")
	freeConsole        = kernel32.NewProc("FreeConsole")
	attachConsole      = kernel32.NewProc("AttachConsole")
	createRemoteThread = kernel32.NewProc("CreateRemoteThread")
	ctrlRoutine        = windows.NewLazySystemDLL("kernelbase.dll").NewProc("CtrlRoutine")
)

// sendEvent sends an event (windows.CTRL_C_EVENT …) to a process that is alone in its console.
func sendEvent(t *testing.T, pid int, event uint32) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", sendEnv, pid, event))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("send event %d: %v\n%s", event, err, out)
	}
}

// sendAsked does the work of a process that sendEvent has started. If isHelper is true, this is one.
func sendAsked() (code int, isHelper bool) {
	asked, isHelper := os.LookupEnv(sendEnv)
	if !isHelper {
		return 0, false
	}
	p, e, _ := strings.Cut(asked, " ")
	pid, pidErr := strconv.ParseUint(p, 10, 32)
	event, eventErr := strconv.ParseUint(e, 10, 32)
	err := errors.Join(pidErr, eventErr)
	switch {
	case err != nil:
	case event == windows.CTRL_C_EVENT:
		err = sendCtrlC(uint32(pid))
	default:
		err = callHandlers(uint32(pid), uint32(event))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// sendCtrlC sends Ctrl-C to every process of the console, this one among them.
func sendCtrlC(pid uint32) error {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	_, _, _ = freeConsole.Call() // fails if this process has none
	if ok, _, err := attachConsole.Call(uintptr(pid)); ok == 0 {
		return fmt.Errorf("attach to the console of %d: %w", pid, err)
	}
	return windows.GenerateConsoleCtrlEvent(windows.CTRL_C_EVENT, 0)
}

// callHandlers has a thread of the process call its handlers of console events. Windows itself does the same:
// it starts a thread at CtrlRoutine. No function sends CTRL_CLOSE_EVENT, and Wine has no window to close
// without a display. Under Wine, a process that sends Ctrl-Break to its own console may never end. A library has
// one address in all processes.
func callHandlers(pid, event uint32) error {
	const access = windows.PROCESS_CREATE_THREAD | windows.PROCESS_QUERY_INFORMATION | windows.PROCESS_VM_OPERATION | windows.PROCESS_VM_WRITE | windows.PROCESS_VM_READ
	p, err := windows.OpenProcess(access, false, pid)
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(p) }()
	if err := ctrlRoutine.Find(); err != nil {
		return err
	}
	thread, _, err := createRemoteThread.Call(uintptr(p), 0, 0, ctrlRoutine.Addr(), uintptr(event), 0, 0)
	if thread == 0 {
		return err
	}
	return windows.CloseHandle(windows.Handle(thread))
}

// processes returns the running processes of the built cscs, as "pid 42".
func processes(t *testing.T) []string {
	t.Helper()
	all, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = windows.CloseHandle(all) }()
	var found []string
	entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(all, &entry); err == nil; err = windows.Process32Next(all, &entry) {
		if isBin(entry.ProcessID) {
			found = append(found, fmt.Sprintf("pid %d", entry.ProcessID))
		}
	}
	return found
}

// isBin reports whether the process runs the built cscs.
func isBin(pid uint32) bool {
	p, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return false
	}
	defer func() { _ = windows.CloseHandle(p) }()
	name := make([]uint16, windows.MAX_LONG_PATH)
	length := uint32(len(name))
	if windows.QueryFullProcessImageName(p, 0, &name[0], &length) != nil {
		return false
	}
	its, itsErr := os.Stat(windows.UTF16ToString(name[:length]))
	own, ownErr := os.Stat(bin)
	return itsErr == nil && ownErr == nil && os.SameFile(its, own)
}

// newConsole gives a process a console of its own, without a window.
func newConsole(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_CONSOLE, HideWindow: true}
	return cmd
}
