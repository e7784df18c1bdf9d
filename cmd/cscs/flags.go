package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/slurm"
)

// options are the flags that commands share. Values are kept as they were written, so that the environment and
// config.toml can set them too. "" or an empty list means not set.
type options struct {
	cluster, user, identity []string
	port, localPort         []string

	protect *bool // nil: depends on the server

	noBrowser, noNotify, noSign, json, dryRun, verbose, allowWideBind, bootstrap, forwardNew, keep, detach bool

	askAs   string // names the program that asks for a passphrase, if necessary
	asGuest bool   // use another process's connection if there is one, which needs no key

	jobLimit time.Duration // time limit of the requested job; 0: no job

	setup, venv, workdir, env, uenv, view, environment []string
	via, queueTimeout, startTimeout, lease, idle       []string
	persist                                            []string
	ready, path                                        []string

	time, account, partition, qos, nodes, nodelist, gpus, mem, constraint, reservation, slurm []string
}

// overrides returns the user and the key that the flags name.
func (o *options) overrides() site.Overrides {
	return site.Overrides{User: lastValue(o.user), Identity: lastValue(o.identity)}
}

// A group is a heading of the help with its flags.
type group struct {
	title string
	flags *pflag.FlagSet
}

const groupOf = "group" // annotation of a flag: the title of its group

func (g group) addFlag(to *[]string, name, short, kind, usage string, check func(string) error) {
	g.flags.VarP(&value{to: to, kind: kind, check: check}, name, short, usage)
}

func (g group) addMany(to *[]string, name, kind, usage string, check func(string) error) {
	free := name == "env" || name == "setup"
	g.flags.Var(&value{to: to, kind: kind, many: true, free: free, check: check}, name, usage)
}

// newGroup returns an empty group. Once it has its flags, addToCommand adds them to a command.
func newGroup(title string) group {
	g := group{title, pflag.NewFlagSet(title, pflag.ContinueOnError)}
	g.flags.SortFlags = false // keep the order of importance
	return g
}

func (g group) addToCommand(cmd *cobra.Command) {
	g.flags.VisitAll(func(f *pflag.Flag) { f.Annotations = map[string][]string{groupOf: {g.title}} })
	cmd.Flags().AddFlagSet(g.flags)
}

// addWhere adds the flags for the cluster, the user and the key there.
func (o *options) addWhere(cmd *cobra.Command) {
	o.addWhereBy(cmd, checkFile)
	g := newGroup("Where")
	g.addFlag(&o.persist, "persist", "", "TIME", "keep the connection in the background until no command has used it for this time (default 0s: it ends with the last command)", checkPersist)
	g.addToCommand(cmd)
}

// addWhereBy is addWhere without --persist. checkIdentity checks the name of the key; nil: no check.
func (o *options) addWhereBy(cmd *cobra.Command, checkIdentity func(string) error) {
	g := newGroup("Where")
	g.addFlag(&o.cluster, "cluster", "c", "NAME", "cluster: a built-in one, one of config.toml, or a Host of ~/.ssh/config", checkWord)
	g.addFlag(&o.user, "user", "", "NAME", "user name on the cluster (default: from ~/.ssh/config, otherwise from the certificate)", checkUser)
	g.addFlag(&o.identity, "identity", "", "FILE", "private key, with its certificate next to it (default: from ~/.ssh/config, otherwise ~/.ssh/cscs-key)", checkIdentity)
	o.addNoSign(g)
	g.addToCommand(cmd)
}

// here says what else a command does on the laptop, for addHere.
type here int

const (
	runsOut   here = 1 << iota // its session has a time limit
	plansOnly                  // it can show what it would do
)

func (o *options) addNoSign(g group) {
	g.flags.BoolVar(&o.noSign, "no-sign", false, "never offer to sign the key (cscs key sign)")
}

// addHere adds the flags for what happens on the laptop.
func (o *options) addHere(cmd *cobra.Command, does here) {
	g := newGroup("Here")
	g.addFlag(&o.localPort, "local-port", "", "PORT", "local port (default: that of --port, or the server's usual one, or the next free one)", checkPort("omit --local-port to get a free one"))
	g.flags.BoolVar(&o.noBrowser, "no-browser", false, "print the URL only")
	g.flags.VarPF(choice{&o.protect}, "protect", "", "guard the local port: admit only your own programs and browser, not other users or web pages (default auto: all commands but run-jupyter; =false: forward everything unchanged)").NoOptDefVal = "true"
	if does&runsOut != 0 {
		g.flags.BoolVar(&o.noNotify, "no-notify", false, "no desktop notification before the session's time is up")
	}
	g.flags.BoolVar(&o.json, "json", false, "write events to stdout, one JSON object per line")
	if does&plansOnly != 0 {
		g.flags.BoolVar(&o.dryRun, "dry-run", false, "print the route and the commands without connecting")
	}
	g.flags.BoolVarP(&o.verbose, "verbose", "v", false, "print more, and the ID of a problem")
	g.addToCommand(cmd)
}

// addVerbose adds --verbose to commands that connect but do not use addHere.
func (o *options) addVerbose(cmd *cobra.Command) {
	g := newGroup("Here")
	g.flags.BoolVarP(&o.verbose, "verbose", "v", false, "print more, and the ID of a problem")
	g.addToCommand(cmd)
}

// addServer adds the flags for the start of the server on its node.
func (o *options) addServer(cmd *cobra.Command, ports bool) {
	g := newGroup("Server")
	if ports {
		g.addFlag(&o.port, "port", "", "PORT", "port on the node (default: the local port's number, or a free one)", checkPort("omit --port to get a free one"))
	}
	g.addMany(&o.setup, "setup", "CMD", "shell command to run before the server, such as 'module load x' (repeatable)", nil)
	g.addFlag(&o.venv, "venv", "", "DIR", "Python virtual environment to activate, on the cluster", checkWord)
	g.flags.BoolVar(&o.bootstrap, "bootstrap", false, "run-jupyter, run-tensorboard: install the program once with pip, if it is missing, in the virtual environment --venv or in one in your home")
	g.addFlag(&o.workdir, "workdir", "", "DIR", "directory to start in, on the cluster (default: the home; in a container the EDF's)", checkWord)
	g.addMany(&o.env, "env", "NAME=VALUE", "environment variable for the server (repeatable)", checkEnv)
	g.addFlag(&o.uenv, "uenv", "", "NAME", "uenv to run the server in", checkWord)
	g.addFlag(&o.view, "view", "", "NAME", "view of the uenv", checkWord)
	g.addFlag(&o.environment, "environment", "", "FILE", "environment definition (EDF) of the Container Engine to run the server in: a path, or a name in ~/.edf", checkWord)
	g.addFlag(&o.startTimeout, "start-timeout", "", "TIME", "how long the server may take from the grant to ready (default 5m)", checkDuration)
	g.addFlag(&o.ready, "ready", "", "PATH", "path of the server that answers 200 when it is ready, such as /health (default: any answer counts)", checkWord)
	g.addFlag(&o.path, "path", "", "PATH", "path of the server that the browser opens (default: its front page)", checkWord)
	g.flags.BoolVar(&o.allowWideBind, "allow-wide-bind", false, "let the server listen on more than 127.0.0.1, where others can reach it")
	g.flags.BoolVar(&o.forwardNew, "forward-new", false, "also forward other web servers that you start on the node during the session")
	g.addToCommand(cmd)
}

// addSlurm adds the flags for Slurm.
func (o *options) addSlurm(cmd *cobra.Command) {
	g := newGroup("Slurm (the site's defaults apply to what you omit)")
	g.addFlag(&o.time, "time", "t", "TIME", "time limit: 2h, 90m, 1d12h, MINUTES, HH:MM:SS, DAYS-HH, …", checkTime)
	g.addFlag(&o.account, "account", "A", "NAME", "account to charge", checkWord)
	g.addFlag(&o.partition, "partition", "p", "NAME", "partition", checkWord)
	g.addFlag(&o.qos, "qos", "q", "NAME", "quality of service", checkWord)
	g.addFlag(&o.nodes, "nodes", "N", "N[-M]", "number of nodes; the server runs on the first", checkNodes)
	g.addFlag(&o.nodelist, "nodelist", "w", "NODES", "these nodes", checkWord)
	g.addFlag(&o.gpus, "gpus", "G", "[TYPE:]N", "number of GPUs", checkWord)
	g.addFlag(&o.mem, "mem", "", "SIZE", "memory per node", checkWord)
	g.addFlag(&o.constraint, "constraint", "C", "LIST", "features that the nodes must have", checkWord)
	g.addFlag(&o.reservation, "reservation", "", "NAME", "reservation", checkWord)
	g.addMany(&o.slurm, "slurm", "OPTION", "any other option of sbatch (salloc), such as --slurm=--exclusive (repeatable)", slurm.CheckOption)
	g.addFlag(&o.via, "via", "", "HOW", "salloc, sbatch (the job waits without cscs), or auto: salloc, and sbatch if the request has to wait (default auto)", checkVia)
	g.addFlag(&o.queueTimeout, "queue-timeout", "", "TIME", "how long to wait in the queue (default 12h)", checkDuration)
	g.addFlag(&o.lease, "lease", "", "TIME", "how long the job may run without cscs, if the laptop or the network is gone (default 1h; 0s: until its time limit)", checkLease)
	g.flags.BoolVar(&o.detach, "detach", false, "return once the job is queued; use cscs attach later")
	g.addFlag(&o.idle, "idle", "", "TIME", "end the session when the server has been unused and idle for this time (at least 1m; default: never)", checkIdle)
	g.flags.BoolVar(&o.keep, "keep", false, "no lease: the job may run until its time limit, even without cscs")
	g.addToCommand(cmd)
}

// slurmRequest returns the request to Slurm.
func (o *options) slurmRequest() slurm.Request {
	limit, _ := slurm.ParseTime(lastValue(o.time)) // checkTime has accepted it; "" stays ""
	_, extra := slurm.SplitOptions(o.slurm)
	return slurm.Request{
		Time: limit, Account: lastValue(o.account), Partition: lastValue(o.partition), QOS: lastValue(o.qos), Nodes: lastValue(o.nodes),
		Nodelist: lastValue(o.nodelist), GPUs: lastValue(o.gpus), Mem: lastValue(o.mem), Constraint: lastValue(o.constraint),
		Reservation: lastValue(o.reservation), Extra: extra, Via: slurm.Via(lastValue(o.via)),
	}
}

// serverLaunch returns how to start the server. The session adds what the app needs.
func (o *options) serverLaunch() slurm.Launch {
	l := slurm.Launch{
		Setup: o.setup, Venv: lastValue(o.venv), Workdir: lastValue(o.workdir), AllowWideBind: o.allowWideBind, Bootstrap: o.bootstrap, ForwardNew: o.forwardNew,
		Environment: lastValue(o.environment), Env: map[string]string{},
	}
	for _, kv := range o.env {
		name, v, _ := strings.Cut(kv, "=")
		l.Env[name] = v
	}
	for _, s := range []struct{ name, value string }{
		{"uenv", lastValue(o.uenv)}, {"view", lastValue(o.view)},
	} {
		if s.value != "" {
			l.Step = append(l.Step, "--"+s.name+"="+s.value)
		}
	}
	step, _ := slurm.SplitOptions(o.slurm)
	l.Step = append(l.Step, step...)
	return l
}
