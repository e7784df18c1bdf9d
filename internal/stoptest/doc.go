// Package stoptest stops a real process in the middle of a test, as Ctrl-Z, SIGSTOP or, on
// Windows, a sleep of the machine does.
package stoptest
