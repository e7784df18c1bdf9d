package ui

import "golang.org/x/sys/unix"

const getTermios, setTermios = unix.TCGETS, unix.TCSETS

const noKey = 0 // _POSIX_VDISABLE
