package bugreport

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// System returns the version of Windows.
func System() string {
	v := windows.RtlGetVersion()
	return fmt.Sprintf("Windows %d.%d.%d", v.MajorVersion, v.MinorVersion, v.BuildNumber)
}
