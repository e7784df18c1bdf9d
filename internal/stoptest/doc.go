// Package stoptest stops a real process during a test, as Ctrl-Z, SIGSTOP or, on Windows, a sleep of
// the machine does.
package stoptest
