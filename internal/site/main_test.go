package site

import (
	"os"
	"testing"
)

// TestMain hides the site-wide file of this machine.
func TestMain(m *testing.M) {
	if err := os.Setenv("CSCS_SITE_CONFIG", os.DevNull); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
