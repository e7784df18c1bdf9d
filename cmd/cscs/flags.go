package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/slurm"
)

// options are what commands that connect to a cluster share: flags, and how the command connects.
type options struct {
	whereFlags
	hereFlags

	askAs    string        // names the program that asks for a passphrase, if necessary
	asGuest  bool          // use another process's connection if there is one, which needs no key
	jobLimit time.Duration // time limit of the requested job; 0: no job
}

// whereFlags are the flags of the group Where of the help. "" and 0 mean that a flag is not set, here and in the
// other groups. A flag that takes 0 as another value has a pointer, or a default in newJob.
type whereFlags struct {
	cluster, user, identity string
	persist                 *time.Duration // nil: not set
	noSign                  bool
}

// hereFlags are the flags of the group Here.
type hereFlags struct {
	localPort int
	protect   *bool // nil: depends on the server

	noBrowser, noNotify, json, dryRun, verbose bool
}

// serverFlags are the flags of the group Server.
type serverFlags struct {
	port       int
	setup, env []string // env has NAME=VALUE

	venv, workdir, uenv, view, environment, ready, path string

	startTimeout                         time.Duration
	bootstrap, allowWideBind, forwardNew bool
}

// slurmFlags are the flags of the group Slurm.
type slurmFlags struct {
	time, account, partition, qos, nodes, nodelist, gpus, mem, constraint, reservation string

	slurm                     []string // options without a flag here
	via                       slurm.Via
	queueTimeout, lease, idle time.Duration
	detach                    bool
}

// overrides returns the user and the key that the flags name.
func (o *whereFlags) overrides() site.Overrides {
	return site.Overrides{User: o.user, Identity: o.identity}
}

// A group is a heading of the help with its flags.
type group struct {
	title string
	flags *pflag.FlagSet
}

const groupOf = "group" // annotation of a flag: the title of its group

// addValue adds a flag that is given once. parse returns its value, or an error that says what is wrong with it.
func addValue[T any](g group, to *T, name, short, kind, usage string, parse func(string) (T, error)) {
	g.flags.VarP(&value[T]{to: to, kind: kind, parse: func(s string) (T, error) {
		if err := checkText(s, false); err != nil {
			return *to, err
		}
		return parse(s)
	}}, name, short, usage)
}

// addString adds a flag that is given once, with a value that check accepts.
func (g group) addString(to *string, name, short, kind, usage string, check func(string) error) {
	addValue(g, to, name, short, kind, usage, func(s string) (string, error) { return s, check(s) })
}

// addStrings adds a flag that may be given repeatedly, with values that check accepts.
func (g group) addStrings(to *[]string, name, kind, usage string, check func(string) error) {
	multiline := name == "env" || name == "setup"
	g.flags.Var(&value[[]string]{to: to, kind: kind, parse: func(s string) ([]string, error) {
		if err := checkText(s, multiline); err != nil {
			return *to, err
		}
		return append(*to, s), check(s)
	}}, name, usage)
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
func (o *whereFlags) addWhere(cmd *cobra.Command) {
	o.addWhereBy(cmd, checkFile)
	g := newGroup("Where")
	addValue(g, &o.persist, "persist", "", "TIME", "keep the connection in the background until no command has used it for this time (default 0s: it ends with the last command)", parsePersist)
	g.addToCommand(cmd)
}

// addWhereBy is addWhere without --persist. checkIdentity checks the name of the key.
func (o *whereFlags) addWhereBy(cmd *cobra.Command, checkIdentity func(string) error) {
	g := newGroup("Where")
	g.addString(&o.cluster, "cluster", "c", "NAME", "cluster: a built-in one, one of the configuration, or a Host of ~/.ssh/config", checkWord)
	g.addString(&o.user, "user", "", "NAME", "user name on the cluster (default: from ~/.ssh/config, otherwise from the certificate)", checkUser)
	g.addString(&o.identity, "identity", "", "FILE", "private key, with its certificate next to it (default: from ~/.ssh/config, otherwise ~/.ssh/cscs-key)", checkIdentity)
	g.flags.BoolVar(&o.noSign, "no-sign", false, "never offer to sign the key (cscs key sign)")
	g.addToCommand(cmd)
}

// here says what else a command does on the laptop, for addHere.
type here int

const (
	runsOut   here = 1 << iota // its session has a time limit
	plansOnly                  // it can show what it would do
)

// addHere adds the flags for what happens on the laptop.
func (o *hereFlags) addHere(cmd *cobra.Command, does here) {
	g := newGroup("Here")
	addValue(g, &o.localPort, "local-port", "", "PORT", "local port (default: that of --port, or the server's usual one, or the next free one)", parsePort("omit --local-port to get a free one"))
	g.flags.BoolVar(&o.noBrowser, "no-browser", false, "print the URL only")
	g.flags.VarPF(&value[*bool]{to: &o.protect, kind: "bool", parse: parseProtect}, "protect", "", "guard the local port: admit only your own programs and browser, not other users or web pages (default auto: all commands but run-jupyter; =false: forward everything unchanged)").NoOptDefVal = "true"
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
func (o *hereFlags) addVerbose(cmd *cobra.Command) {
	g := newGroup("Here")
	g.flags.BoolVarP(&o.verbose, "verbose", "v", false, "print more, and the ID of a problem")
	g.addToCommand(cmd)
}

// addServer adds the flags for the start of the server on its node.
func (o *serverFlags) addServer(cmd *cobra.Command) {
	g := newGroup("Server")
	addValue(g, &o.port, "port", "", "PORT", "port on the node (default: the local port's number, or a free one)", parsePort("omit --port to get a free one"))
	g.addStrings(&o.setup, "setup", "CMD", "shell command to run before the server, such as 'module load x' (repeatable)", acceptAny)
	g.addString(&o.venv, "venv", "", "DIR", "Python virtual environment to activate, on the cluster", checkWord)
	g.flags.BoolVar(&o.bootstrap, "bootstrap", false, "run-jupyter, run-tensorboard: install the program once with pip, if it is missing, in the virtual environment --venv or in one in your home")
	g.addString(&o.workdir, "workdir", "", "DIR", "directory to start in, on the cluster (default: the home; in a container the EDF's)", checkWord)
	g.addStrings(&o.env, "env", "NAME=VALUE", "environment variable for the server (repeatable)", checkEnv)
	g.addString(&o.uenv, "uenv", "", "NAME", "uenv to run the server in", checkWord)
	g.addString(&o.view, "view", "", "NAME", "view of the uenv", checkWord)
	g.addString(&o.environment, "environment", "", "FILE", "environment definition (EDF) of the Container Engine to run the server in: a path, or a name in ~/.edf", checkWord)
	addValue(g, &o.startTimeout, "start-timeout", "", "TIME", "how long the server may take from the grant to ready (default 5m)", parseDuration)
	g.addString(&o.ready, "ready", "", "PATH", "path of the server that answers 200 when it is ready, such as /health (default: any answer counts)", checkWord)
	g.addString(&o.path, "path", "", "PATH", "path of the server that the browser opens (default: its front page)", checkWord)
	g.flags.BoolVar(&o.allowWideBind, "allow-wide-bind", false, "let the server listen on more than 127.0.0.1, where others can reach it")
	g.flags.BoolVar(&o.forwardNew, "forward-new", false, "also forward other web servers that you start on the node during the session")
	g.addToCommand(cmd)
}

// addSlurm adds the flags for Slurm.
func (o *slurmFlags) addSlurm(cmd *cobra.Command) {
	g := newGroup("Slurm (the site's defaults apply to what you omit)")
	addValue(g, &o.time, "time", "t", "TIME", "time limit: 2h, 90m, 1d12h, MINUTES, HH:MM:SS, DAYS-HH, …", parseTime)
	g.addString(&o.account, "account", "A", "NAME", "account to charge", checkWord)
	g.addString(&o.partition, "partition", "p", "NAME", "partition", checkWord)
	g.addString(&o.qos, "qos", "q", "NAME", "quality of service", checkWord)
	g.addString(&o.nodes, "nodes", "N", "N[-M]", "number of nodes; the server runs on the first", checkNodes)
	g.addString(&o.nodelist, "nodelist", "w", "NODES", "run on these nodes", checkWord)
	g.addString(&o.gpus, "gpus", "G", "[TYPE:]N", "number of GPUs", checkWord)
	g.addString(&o.mem, "mem", "", "SIZE", "memory per node", checkWord)
	g.addString(&o.constraint, "constraint", "C", "LIST", "features that the nodes must have", checkWord)
	g.addString(&o.reservation, "reservation", "", "NAME", "reservation", checkWord)
	g.addStrings(&o.slurm, "slurm", "OPTION", "any other option of sbatch (salloc), such as --slurm=--exclusive (repeatable)", slurm.CheckOption)
	addValue(g, &o.via, "via", "", "HOW", "salloc, sbatch (the job waits without cscs), or auto: salloc, and sbatch if the request has to wait (default auto)", parseVia)
	addValue(g, &o.queueTimeout, "queue-timeout", "", "TIME", "how long to wait in the queue (default 12h)", parseDuration)
	addValue(g, &o.lease, "lease", "", "TIME", "how long the job may run without cscs, if the laptop or the network is gone (default 1h; 0s: until its time limit)", parseLease)
	g.flags.BoolVar(&o.detach, "detach", false, "return once the job is queued; use cscs attach later")
	addValue(g, &o.idle, "idle", "", "TIME", "end the session when the server has been unused and idle for this time (at least 1m; default: never)", parseIdle)
	g.flags.Bool("keep", false, "no lease: the job may run until its time limit, even without cscs") // settleLease makes it --lease 0s
	g.addToCommand(cmd)
}

// slurmRequest returns the request to Slurm.
func (o *slurmFlags) slurmRequest() slurm.Request {
	_, extra := slurm.SplitOptions(o.slurm)
	return slurm.Request{
		Time: o.time, Account: o.account, Partition: o.partition, QOS: o.qos, Nodes: o.nodes, Nodelist: o.nodelist, GPUs: o.gpus,
		Mem: o.mem, Constraint: o.constraint, Reservation: o.reservation, Extra: extra, Via: o.via,
	}
}

// serverLaunch returns how to start the server, with those of the options of --slurm that are for its step. The
// session adds what the app needs.
func (o *serverFlags) serverLaunch(options []string) slurm.Launch {
	l := slurm.Launch{
		Setup: o.setup, Venv: o.venv, Workdir: o.workdir, AllowWideBind: o.allowWideBind, Bootstrap: o.bootstrap, ForwardNew: o.forwardNew,
		Environment: o.environment, Env: map[string]string{},
	}
	for _, kv := range o.env {
		name, v, _ := strings.Cut(kv, "=")
		l.Env[name] = v
	}
	if o.uenv != "" {
		l.Step = append(l.Step, "--uenv="+o.uenv)
	}
	if o.view != "" {
		l.Step = append(l.Step, "--view="+o.view)
	}
	step, _ := slurm.SplitOptions(options)
	l.Step = append(l.Step, step...)
	return l
}
