// Package windowstest holds the end-to-end tests of the Windows build. They run the built program, with the
// demo as its cluster: under Wine in scripts/test windows, or on a Windows machine:
//
//	go test -count=1 ./internal/e2e/windowstest
package windowstest
