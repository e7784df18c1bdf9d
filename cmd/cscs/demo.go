package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/demo"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// demoLease is short, so that the remains of a killed demo are removed soon.
const demoLease = 30 * time.Second

func newDemoCommand(d *deps) *cobra.Command {
	j, queue, page := newJob(), time.Duration(0), false
	j.noLog = true
	cmd := &cobra.Command{
		Use:   "demo [flags] [-- jupyter arguments]",
		Short: "Try cscs on a small cluster inside it, without an account",
		Long: `Try cscs run-jupyter on a cluster inside cscs: a jump host, a login node and two compute
nodes, in one process on your machine, with SSH servers, certificates and a queue.
Everything works as on a real cluster, and is removed afterwards. cscs does not read or
write your keys or your ~/.ssh.

The server is the JupyterLab of this machine, if there is one on your PATH, otherwise a
small page that shows what happened.

Every other command takes --cluster demo. The cluster exists while a command uses it or a
job runs there.`,
		Example: `  cscs demo
  cscs demo --queue 20s
  cscs run -c demo -- python3 -m http.server {port} --bind 127.0.0.1`,
		Args: onlyBehindDashes,
		RunE: func(cmd *cobra.Command, args []string) error {
			j.cluster, j.lease = demo.Name, demoLease
			j.app = func() (app.App, error) {
				if page || !haveJupyter() {
					return demo.Page(), nil
				}
				return app.Jupyter(args, "")
			}
			// The process that started the cluster may have another PATH.
			j.env = []string{"PATH=" + os.Getenv("PATH")}
			if queue > 0 {
				seconds := int((queue + time.Second - 1) / time.Second)
				j.partition, j.slurm = demo.BusyPartition, []string{"--begin=now+" + strconv.Itoa(seconds)}
			}
			if len(args) > 0 && (page || !haveJupyter()) {
				return &problem.UsageError{Message: fmt.Sprintf("the page takes no arguments, unlike JupyterLab: %q", args), Hint: "omit them, or install JupyterLab here"}
			}
			cfg, err := d.loadSites()
			if err != nil {
				return err
			}
			if !cfg.Makes(demo.Name) {
				return &problem.UsageError{Message: "the configuration defines a cluster of the name " + demo.Name,
					Hint: "rename it to have the cluster inside cscs; its file: cscs config show --origin"}
			}
			if !j.json && !j.dryRun {
				d.say(demoIntro(page))
			}
			return d.runJob(cmd, j)
		},
	}
	g := newGroup("Demo")
	addValue(g, &queue, "queue", "", "TIME", "keep the nodes busy for this time (default: a node is free)", parseDuration)
	g.flags.BoolVar(&page, "page", false, "show the page even if there is a JupyterLab")
	g.addToCommand(cmd)
	j.addHere(cmd, runsOut|plansOnly)
	cmd.Annotations = map[string]string{showsExitStatus: "yes"}
	for _, name := range []string{"queue", "local-port"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions) // the flag exists and is registered once
	}
	return cmd
}

// demoIntro says what the demo shows.
func demoIntro(page bool) string {
	what := "JupyterLab is this machine's own"
	switch {
	case page:
		what = "the server is a small page"
	case !haveJupyter():
		what = "JupyterLab is not on your PATH, so the server is a small page"
	}
	return "a cluster of two nodes, inside this program; " + what
}

// haveJupyter reports whether JupyterLab is on the PATH. The program jupyter alone may have other parts.
func haveJupyter() bool {
	for _, program := range []string{"jupyter", "jupyter-lab"} {
		if _, err := exec.LookPath(program); err != nil {
			return false
		}
	}
	return true
}

// A demoVisit keeps the embedded cluster alive while this command runs, if the command uses it. The zero value
// is for a command that does not.
type demoVisit struct {
	mu    sync.Mutex
	visit *demo.Visit
}

// loadSites returns the known clusters. The embedded one is among them. It is started on first use, or joined
// if another process has started it.
//
// It warns once of a site-wide file that cannot be used. The command goes on without it, because the user may
// be unable to fix that file, and must still be able to stop a session.
func (d *deps) loadSites() (*site.Config, error) {
	cfg, err := d.loadSitesSilently()
	if err == nil && cfg.Ignored != nil {
		d.warned.Do(func() {
			p := problem.Of(cfg.Ignored)
			ui.Error(d.io, p.Message+"; the whole file is ignored", p.Hint)
		})
	}
	return cfg, err
}

// loadSitesSilently is loadSites without the warning, for completions.
func (d *deps) loadSitesSilently() (*site.Config, error) {
	return site.LoadWith(checkSetting, d.madeSites()...)
}

// madeSites returns the clusters that are made on demand.
func (d *deps) madeSites() []site.Made {
	return []site.Made{{Name: demo.Name, Make: d.demo.enter}}
}

func (v *demoVisit) enter(ctx context.Context) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.visit == nil {
		place, err := demoPlace()
		if err != nil {
			return "", err
		}
		if v.visit, err = place.Enter(ctx); err != nil {
			return "", err
		}
		if v.visit.Fresh {
			forgetDemos()
		}
	}
	return v.visit.Config, nil
}

func demoPlace() (demo.Place, error) {
	dir, err := paths.SocketDir()
	return demo.Place{Dir: filepath.Join(dir, "demo")}, err
}

// forgetGoneDemos calls forgetDemos if the cluster does not run. It starts none.
func (d *deps) forgetGoneDemos() {
	cfg, err := d.loadSites()
	if err != nil || !cfg.Makes(demo.Name) {
		return
	}
	place, err := demoPlace()
	if err != nil {
		return
	}
	if lives, err := place.Lives(); err == nil && !lives {
		forgetDemos()
	}
}

// forgetDemos removes the records of sessions whose cluster is gone. Their processes were killed with it.
func forgetDemos() {
	store, all, err := loadRecords()
	if err != nil {
		return // the records only stay longer
	}
	for _, l := range all {
		if l.Cluster == demo.Name && !l.Attended {
			_ = store.Forget(l.ID)
		}
	}
}

// leave ends the visit. If no other process uses the cluster, it is gone when leave returns.
func (v *demoVisit) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.visit != nil {
		v.visit.Leave(context.Background())
		v.visit = nil
	}
}
