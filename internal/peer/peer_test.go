package peer

import "testing"

func TestAllowed(t *testing.T) {
	wsl := map[string]string{"WSL_DISTRO_NAME": "Debian"}
	for _, tt := range []struct {
		uid, self int
		env       map[string]string
		want      bool
	}{
		{1000, 1000, nil, true},
		{1001, 1000, nil, false},
		{0, 1000, nil, false},
		{0, 1000, wsl, true},
		{1001, 1000, wsl, false},
		{0, 0, nil, true},
	} {
		if got := allowed(tt.uid, tt.self, func(name string) string { return tt.env[name] }); got != tt.want {
			t.Errorf("allowed(%d, %d, %v) = %v", tt.uid, tt.self, tt.env, got)
		}
	}
}
