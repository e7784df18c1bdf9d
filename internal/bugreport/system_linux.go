package bugreport

import (
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// releaseField matches the fields of os-release(5) that name the distribution and its version.
var releaseField = regexp.MustCompile(`(?m)^(ID|VERSION_ID)="?([a-z0-9._-]+)"?$`)

// kernelVersion matches the numbers at the beginning of a kernel's release.
var kernelVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+`)

// System returns the distribution and the versions of it and of the kernel.
func System() string {
	var words []string
	data, err := os.ReadFile("/etc/os-release")
	if err == nil {
		fields := map[string]string{}
		for _, m := range releaseField.FindAllSubmatch(data, -1) {
			fields[string(m[1])] = string(m[2])
		}
		words = append(words, fields["ID"], fields["VERSION_ID"])
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		release := unix.ByteSliceToString(u.Release[:])
		words = append(words, "Linux "+kernelVersion.FindString(release))
		if strings.Contains(strings.ToLower(release), "microsoft") {
			words = append(words, "(WSL)")
		}
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}
