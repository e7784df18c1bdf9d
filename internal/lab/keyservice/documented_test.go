package main

import (
	"os"
	"strings"
	"testing"
)

// TestSecretsAreDocumented: who tries cscs key sign in the lab by hand finds what to type in docs/lab.md.
func TestSecretsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/lab.md")
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{otpSecret, "/otp", "/password"}
	for user, password := range passwords {
		wanted = append(wanted, user, password)
	}
	for _, w := range wanted {
		if !strings.Contains(string(page), w) {
			t.Errorf("docs/lab.md lacks %q", w)
		}
	}
}
