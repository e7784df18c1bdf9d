package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the release build. Otherwise the module's version is used.
var version string //nolint:gochecknoglobals // the linker sets it (-X main.version)

func newVersionCommand(d *deps) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return d.printVersion() },
	}
}

func (d *deps) printVersion() error {
	_, err := fmt.Fprintln(d.io.Out, thisVersion())
	return err
}

// thisVersion returns the version line of this program.
func thisVersion() string {
	info, _ := debug.ReadBuildInfo()
	return versionLine(version, info)
}

// versionLine returns the version, commit, compiler and system.
func versionLine(version string, info *debug.BuildInfo) string {
	commit, modified := "unknown", ""
	if info != nil {
		if version == "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 12:
				commit = s.Value[:12]
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = ", modified"
			}
		}
	}
	if version == "" || version == "(devel)" {
		version = "devel"
	}
	return fmt.Sprintf("cscs %s (commit %s%s, %s, %s/%s)", version, commit, modified, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// userAgent returns the User-Agent for the services.
func userAgent() string {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version
	}
	return fmt.Sprintf("cscs/%s (%s; %s)", cmp.Or(strings.Trim(v, "()"), "devel"), runtime.GOOS, runtime.GOARCH)
}
