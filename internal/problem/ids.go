package problem

import (
	"slices"
	"strings"

	"github.com/alps-tunnel/cscs/slurm"
)

// ids are the IDs of all problems in alphabetical order, except for those of a [slurm.RemoteError], which are "remote-"
// and its kind.
var ids = []string{
	"account", "agent", "agent-hangs", "agent-locked", "agent-none", "agent-refused", "ambiguous-session", "attended",
	"auth-refused", "auth-second-factor", "auth-too-many", "browser", "clock", "config", "connection-closed",
	"connection-lost", "connection-refused", "disk-full", "ended", "ended-badly", "failure", "file", "file-mode",
	"home-full", "hop-refused", "host-key-certificate", "host-key-changed", "host-key-declined", "host-key-revoked",
	"host-key-unknown", "import-nothing", "import-several", "interrupted", "ip-family", "job-ended", "key-bare",
	"key-expired", "key-expires", "key-file", "key-forced-command", "key-half", "key-missing", "key-no-forwarding",
	"key-no-principals", "key-no-signature", "key-not-yet-valid", "key-passphrase", "key-permissions", "key-principal",
	"key-replace", "key-uncertified", "key-write", "known-hosts", "known-hosts-file", "known-hosts-line", "late",
	"log", "login-shell", "never-starts", "no-browser", "no-dns", "no-file", "no-home", "no-job", "no-job-on-node",
	"no-route", "no-such-host", "no-way-to-node", "node-closed", "not-left", "not-ready", "not-ssh", "not-yours",
	"nothing-listens", "ok", "other-owner", "overtime", "owner-left", "partition", "port-busy", "port-denied",
	"proxy-command", "queue-timeout", "quota", "remains", "server", "server-open", "server-port", "server-probe",
	"server-setup", "server-token", "server-wide", "shared-directory", "shell-slow", "shell-talks", "sign-answer",
	"sign-busy", "sign-certificate", "sign-down", "sign-in", "sign-input", "sign-quota", "sign-refused",
	"sign-too-often", "silent", "slurm-refused", "slurm-silent", "ssh-config", "ssh-config-file", "ssh-config-foreign",
	"ssh-dir", "start-timeout", "state-dir", "step", "tied", "timeout", "too-many-logins", "unattended",
	"unknown-cluster", "unknown-recipe", "unknown-serial", "unknown-session", "unknown-signing", "unreachable",
	"usage", "which-job",
}

// IsID reports whether a problem of this version can have that ID.
func IsID(id string) bool {
	if kind, ok := strings.CutPrefix(id, "remote-"); ok {
		return slurm.IsErrorKind(kind)
	}
	_, ok := slices.BinarySearch(ids, id)
	return ok
}
