package bugreport

import "testing"

// TestDescribeRelease: only a well-known distribution and a plain version are named.
func TestDescribeRelease(t *testing.T) {
	for text, want := range map[string]string{
		"NAME=\"Debian\"\nID=debian\nVERSION_ID=\"13\"\n": "debian 13",
		"ID=\"opensuse-leap\"\nVERSION_ID=\"15.6\"\n":     "opensuse-leap 15.6",
		"ID='alpine'\nVERSION_ID=3.19.1\n":                "alpine 3.19.1",
		"ID=arch\n":                                       "arch",
		"ID=zebra\nVERSION_ID=1\nID_LIKE=debian\n":        "other Linux",
		"ID=ubuntu\nVERSION_ID=\"24.04-zebra\"\n":         "ubuntu",
		"ID=rhel\nVERSION_ID=10.1.2.3\n":                  "rhel",
		"VARIANT_ID=debian\n":                             "other Linux",
		"":                                                "other Linux",
	} {
		if got := describeRelease(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
