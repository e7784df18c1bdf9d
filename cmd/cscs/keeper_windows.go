package main

import "syscall"

// Connections are not shared on Windows, so none is kept.

func detachedProcAttr() *syscall.SysProcAttr { return nil }

func closeInherited() {}
