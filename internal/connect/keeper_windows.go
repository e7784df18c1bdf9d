package connect

import "syscall"

// Windows does not share connections, so there is no keeper.

func detachedProcAttr() *syscall.SysProcAttr { return nil }

func closeInherited() {}
