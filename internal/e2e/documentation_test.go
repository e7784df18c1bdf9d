//go:build lab

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/docblock"
)

// documentShell comes before each command of a document. A command of cscs that stays in the foreground gets Ctrl-C when
// it is ready, and its exit status counts, except for that of logs.
const documentShell = `set -euo pipefail
eval "$(ssh-agent -s)" >/dev/null
trap 'ssh-agent -k >/dev/null; tail --pid="$SSH_AGENT_PID" -s 0.05 -f /dev/null' EXIT # it removes its socket
cscs() {
	case " $* " in
	*' --detach '* | *' --dry-run '*) command cscs "$@"; return ;;
	' run '* | ' run-'* | ' attach '* | ' tunnel '* | ' demo '* | ' logs -f '*) ;;
	*) command cscs "$@"; return ;;
	esac
	local line fd pid sent=
	coproc stays { exec env --default-signal=INT cscs "$@" 2>&1; }
	pid=$stays_PID
	exec {fd}<&"${stays[0]}"
	while IFS= read -r line <&"$fd"; do
		printf '%s\n' "$line"
		case $sent$1:$line in logs:* | [!1]*' ready: '* | [!1]*'"event":"ready"'*) kill -INT "$pid"; sent=1 ;; esac
	done
	exec {fd}<&-
	wait "$pid" || [[ $1 == logs ]]
}
`

// A preparation is what a block needs besides the lab.
type preparation struct {
	replace []string // pairs of a word of the block and the one that stands for it here
	env     []string
}

// documentPages prepares each block of a page. A page that is not here needs nothing. What is started or changed lasts
// until the block's own end.
var documentPages = map[string]func(t *testing.T, b docblock.Block) preparation{
	"README.md":       tunnelTarget,
	"docs/servers.md": tunnelTarget,
	"docs/start.md":   keySigner,
	"docs/keys.md":    keySigner,
	"docs/sessions.md": func(t *testing.T, b docblock.Block) preparation {
		if strings.Contains(b.Text, "cscs ps ") {
			cscs(t, "run", "--", "python3", "-u", "-m", "http.server", "{port}", "--bind", "127.0.0.1").ready()
		}
		return tunnelTarget(t, b)
	},
	"docs/ssh-config.md": func(t *testing.T, b docblock.Block) preparation {
		if !strings.Contains(b.Text, "cscs-k7") {
			return sshUninstaller(t, b)
		}
		sshInstalled(t)
		t.Cleanup(func() { _ = os.Remove(laptopHome(".ssh", "known_hosts.old")) }) // of ssh, if it learns further keys of a host
		put(t, laptopHome("page", "result.csv"), "1,2\n", 0o600)
		t.Cleanup(func() { _ = os.Remove(clusterHome("result.csv")) })
		return preparation{replace: []string{"k7", serve(t, nil).ready().Session}}
	},
	"docs/editors.md": sshUninstaller,
	"docs/install.md": func(t *testing.T, _ docblock.Block) preparation {
		t.Cleanup(func() { _ = os.RemoveAll(laptopHome(".local", "share")) }) // the man pages
		return preparation{env: []string{"SOURCE_DATE_EPOCH=0"}}              // the program of the tests knows no commit
	},
	"docs/configuration.md": func(t *testing.T, b docblock.Block) preparation {
		switch {
		case strings.Contains(b.Text, "stop --connections"):
			mustCmd(t, listing("--persist", "10m")...)
			keptOne(t, "unused")
		case strings.Contains(b.Text, "config show"):
			mkdir(t, laptopHome(".config"))
			put(t, filepath.Join(mkdir(t, laptopHome(".config", "cscs")), "config.toml"),
				"default_cluster = \"daint\"\n\n[clusters.daint]\n\n\ntime = \"2h\"\n", 0o600)
			return preparation{env: []string{"CSCS_ACCOUNT=g456"}}
		case strings.Contains(b.Text, "open --print"):
			e := serve(t, nil).ready()
			return preparation{replace: []string{"ID", e.Session, "PORT", strconv.Itoa(e.LocalPort)}}
		}
		return preparation{}
	},
	"docs/other-site.md": func(t *testing.T, _ docblock.Block) preparation {
		config := laptopHome(".ssh", "config")
		before, _ := os.ReadFile(config)
		put(t, config, string(before)+"\nHost mylab\n    HostName login.lab.example.org\n    User bob\n    ProxyJump gate.example.org\n", 0o600)
		return preparation{}
	},
	"docs/demo.md": func(*testing.T, docblock.Block) preparation {
		return preparation{env: []string{"CSCS_VENV="}} // the demo's nodes are the laptop, which has no virtual environment
	},
}

// tunnelTarget starts the server that a block with cscs tunnel leads to, in a job of its own.
func tunnelTarget(t *testing.T, b docblock.Block) preparation {
	if !strings.Contains(b.Text, "cscs tunnel") {
		return preparation{}
	}
	job := running(t, "alice", []string{"-w", "nid001002"}, "127.0.0.1:6006")
	return preparation{replace: []string{"4270667", job, "nid006554", "nid001002"}}
}

// keySigner starts the key service for a block that needs it. A service account signs in for alice.
func keySigner(t *testing.T, b docblock.Block) preparation {
	signs, lists := strings.Contains(b.Text, "key sign"), strings.Contains(b.Text, "key revoke")
	if !signs && !lists {
		return preparation{}
	}
	keys(t)
	noSSH(t)
	if signs {
		return preparation{env: []string{apiKey}}
	}
	runKey(t, apiKey, "sign").want(0, "signed")
	return preparation{env: []string{apiKey}, replace: []string{"SERIAL", keyStatus(t).Serial}}
}

// sshUninstaller takes cscs out of alice's configuration of ssh after the block.
func sshUninstaller(t *testing.T, _ docblock.Block) preparation {
	t.Cleanup(func() { mustCmd(t, "ssh-config", "--uninstall") })
	return preparation{}
}

// TestDocumentation: each command of the documents works as it is written, and prints what the page shows. The blocks
// are those of language sh or console that no comment excludes (docs/documentation.md).
func TestDocumentation(t *testing.T) {
	blocks, err := docblock.Read(lab.checkout)
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string][]docblock.Block{}
	var order []string
	for _, b := range blocks {
		if !b.IsShell() || b.NotRun != "" {
			continue
		}
		if pages[b.Page] == nil {
			order = append(order, b.Page)
		}
		pages[b.Page] = append(pages[b.Page], b)
	}
	for page := range documentPages {
		if pages[page] == nil {
			t.Errorf("%s is prepared, but has no block that is run", page)
		}
	}
	for _, page := range order {
		t.Run(page, func(t *testing.T) {
			begin(t)
			mkdir(t, laptopHome("page"))
			if err := os.Symlink(lab.bin, filepath.Join(mkdir(t, laptopHome("bin")), "cscs")); err != nil {
				t.Fatal(err)
			}
			put(t, laptopHome("bin", "browser"), "#!/bin/sh\nexec curl -sSL --max-time 20 -b '' -o /dev/null \"$1\"\n", 0o755)
			venv := clusterHome("venv") // of the README
			if err := os.Symlink(lab.Env["LAB_VENV"], venv); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove(venv) })
			for _, b := range pages[page] {
				t.Run(fmt.Sprintf("line=%d", b.Line), func(t *testing.T) { runBlock(t, b) })
			}
		})
	}
}

var sessionSuffix = regexp.MustCompile(` \(session [a-z2-7]{8}\)`)

// runBlock runs the commands of a block, and ends the sessions that it has left.
func runBlock(t *testing.T, b docblock.Block) {
	t.Helper()
	var p preparation
	if prepare := documentPages[b.Page]; prepare != nil {
		p = prepare(t, b)
	}
	words := strings.NewReplacer(p.replace...)
	for _, s := range b.Steps() {
		// JupyterLab is in a virtual environment that alice has set once.
		argv := append([]string{"PATH=/home/alice/bin:/usr/local/bin:/usr/bin:/bin", "BROWSER=/home/alice/bin/browser", "LC_ALL=C.UTF-8", "CSCS_VENV=" + lab.Env["LAB_VENV"]}, p.env...)
		argv = append(argv, "setsid", "-w", "bash", "-c", documentShell+"cd ~/page\n"+words.Replace(s.Command))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		out, err := as(ctx, "alice", "laptop", argv...).CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("%s: %v\n%s\n%s", b.Place(), err, s.Command, out)
		}
		// On a terminal, as the pages show it, no line names the session.
		if line := s.FindMissing(sessionSuffix.ReplaceAllString(string(out), "")); line != "" {
			t.Errorf("%s shows a line that the command does not print: %q\n%s\n%s", b.Place(), line, s.Command, out)
		}
	}
	mustCmd(t, "stop", "--all")
}
