package bugreport

import (
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The fields of os-release(5) that name the distribution and its version. Both are free text, which can name an institute.
var (
	releaseID      = regexp.MustCompile(`(?m)^ID=["']?([a-z-]+)["']?$`)
	releaseVersion = regexp.MustCompile(`(?m)^VERSION_ID=["']?([0-9]+(?:\.[0-9]+){0,2})["']?$`)
)

// distributions are the IDs of well-known distributions.
var distributions = []string{"almalinux", "alpine", "amzn", "arch", "centos", "debian", "fedora", "gentoo", "linuxmint", "nixos", "ol",
	"opensuse-leap", "opensuse-tumbleweed", "pop", "rhel", "rocky", "sles", "ubuntu"}

// describeRelease returns the distribution and its version from the text of os-release, or "other Linux".
func describeRelease(text string) string {
	id := releaseID.FindStringSubmatch(text)
	if id == nil || !slices.Contains(distributions, id[1]) {
		return "other Linux"
	}
	if version := releaseVersion.FindStringSubmatch(text); version != nil {
		return id[1] + " " + version[1]
	}
	return id[1]
}

// kernelVersion matches the numbers at the beginning of a kernel's release.
var kernelVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+`)

// System returns the distribution and the versions of it and of the kernel.
func System() string {
	var words []string
	if data, err := os.ReadFile("/etc/os-release"); err == nil {
		words = append(words, describeRelease(string(data)))
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		release := unix.ByteSliceToString(u.Release[:])
		words = append(words, "Linux "+kernelVersion.FindString(release))
		if strings.Contains(strings.ToLower(release), "microsoft") {
			words = append(words, "(WSL)")
		}
	}
	return strings.Join(words, " ")
}
