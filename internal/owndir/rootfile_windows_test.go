package owndir

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// TestDescribeRisk: only administrators and the system may have a right to change the file.
func TestDescribeRisk(t *testing.T) {
	for sddl, want := range map[string]string{
		"O:BAD:(A;;FA;;;BA)(A;;FA;;;SY)(A;;0x1200a9;;;BU)": "",
		"O:SYD:(A;;FA;;;BA)(D;;FA;;;WD)":                   "",
		"O:BAD:(A;OICIIO;FA;;;WD)(A;;FA;;;BA)":             "", // for what is in a directory, not for itself
		"O:WDD:(A;;FA;;;BA)":                               "belongs to ",
		"O:BAD:(A;;FA;;;BA)(A;;FA;;;WD)":                   "is writable by ",
		"O:BAD:(A;;WD;;;BU)":                               "is writable by ", // WRITE_DAC
	} {
		sd, err := windows.SecurityDescriptorFromString(sddl)
		if err != nil {
			t.Errorf("%s: %v", sddl, err)
			continue
		}
		if got, err := describeRisk(sd, changeFile); err != nil || want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, %v; want %q", sddl, got, err, want)
		}
	}
	// Without a list, every account may do everything (ACLs, "NULL DACL").
	owner, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		t.Fatal(err)
	}
	sd, err := windows.NewSecurityDescriptor()
	if err := errors.Join(err, sd.SetOwner(owner, false), sd.SetDACL(nil, true, false)); err != nil {
		t.Fatal(err)
	}
	if got, err := describeRisk(sd, changeFile); err != nil || got != "is writable by everyone" {
		t.Errorf("no list: %q, %v", got, err)
	}
}
