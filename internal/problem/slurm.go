package problem

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

var slurmRules = []rule{
	ruleFor(func(e *slurm.RefusedError) Problem {
		p := Problem{ID: "slurm-refused", Code: Allocation, Message: "Slurm refused the request: " + e.Message}
		if len(e.Accounts) > 0 {
			p.Hint, p.Fix = accountHint(e.Accounts), accountOption(e.Accounts[0])
		} else {
			p.Hint, p.Fix = offer{e.Message, e.Request, e.Partitions}.suggestOption()
		}
		return p
	}),
	ruleFor(func(e *slurm.NeverStartsError) Problem {
		p := Problem{ID: "never-starts", Code: Allocation, Message: e.Error(), Hint: neverStartsHint(e.Reason)}
		if hint, fix := (offer{e.Reason, e.Request, e.Partitions}).suggestOption(); hint != "" {
			p.Hint, p.Fix = joinHints(hint, p.Hint), fix
		}
		if len(e.Accounts) > 0 {
			p.Hint, p.Fix = accountHint(e.Accounts), accountOption(e.Accounts[0])
			if strings.Contains(e.Reason, "Minutes") {
				p.Hint += "; or ask for less with --time"
			}
		}
		return p
	}),
	fixedRule[*slurm.QueueTimeoutError]("queue-timeout", Allocation, "wait longer with --queue-timeout, or ask for less: --time, --nodes, another --partition", ""),
	ruleFor(func(e *slurm.WhichJobError) Problem {
		p := Problem{ID: "which-job", Code: Usage, Message: e.Error()}
		if running := e.Running(); len(running) > 0 {
			p.Fix = "--job " + running[0].Job
			p.Hint = "choose one, for example " + p.Fix
			return p
		}
		p.ID, p.Code, p.Hint = "no-job", Allocation, "list your jobs on the login node: squeue --me; start a server in a new job: cscs run"
		return p
	}),
	ruleFor(func(e *slurm.JobEndedError) Problem {
		p := Problem{ID: "job-ended", Code: Allocation, Message: e.Error()}
		switch {
		case e.Guest:
		case strings.HasPrefix(e.State, "TIMEOUT"):
			p.Hint = "ask for more time with --time"
		case strings.HasPrefix(e.State, "OUT_OF_ME"):
			p.Hint = "ask for more memory with --mem, or for a whole node"
		}
		return p
	}),
	ruleFor(func(e *slurm.StepError) Problem {
		p := Problem{ID: "step", Code: Server, Message: e.Error()}
		if e.OutOfReach {
			p.Hint = "use --via sbatch: its job starts the step on the node itself"
		}
		return p
	}),
	ruleFor(func(e *slurm.RemainsError) Problem {
		return Problem{ID: "remains", Code: Remains, Message: e.Error(), Hint: "cancel it by hand: scancel --name=" + e.Name}
	}),
	fixedRule[*slurm.LogError]("log", Failure, "", ""),
	ruleFor(remoteProblem),
	ruleFor(func(e *slurm.LoginShellError) Problem {
		p := Problem{ID: "login-shell", Code: Failure, Message: e.Error(), Hint: loginShell, Fix: quietShell}
		if e.Line != nil {
			p.Hint, p.Fix = onlyForPersons(e.Line)
		}
		return p
	}),
}

func accountHint(accounts []string) string {
	return "your accounts there: " + strings.Join(accounts, ", ") + "; choose one, for example " + accountOption(accounts[0])
}

// accountOption returns the option for an account. It quotes the name, which comes from the cluster.
func accountOption(name string) string { return "--account " + shellescape.Quote(name) }

// neverStartsHint returns the option that can make a request fit which can never start.
func neverStartsHint(reason string) string {
	switch {
	case strings.Contains(reason, "Time") || strings.Contains(reason, "Wall"):
		return "ask for less with --time, or for another --partition"
	case reason == "PartitionConfig":
		return "ask for less with --time or --nodes, or for another --partition"
	case strings.Contains(reason, "NodeLimit"):
		return "ask for fewer with --nodes, or for another --partition"
	case strings.Contains(reason, "Account") || strings.HasPrefix(reason, "Assoc"):
		return "choose another account with --account"
	case strings.Contains(reason, "QOS"):
		return "choose another with --qos, or leave it out"
	case strings.Contains(reason, "Constraint"):
		return "see what the nodes have: sinfo -o '%N %f'"
	}
	return ""
}

// Commands to paste on the login node.
const (
	diskUsageCommand = "du -xhd1 ~ | sort -h"
	quietShell       = "[[ $- == *i* ]] || return"
	loginShell       = "login shells read /etc/profile and ~/.bash_profile (or ~/.profile); make yours do nothing in non-interactive shells, with this as its first line: " + quietShell
)

// onlyForPersons returns how to skip a line of a start-up file in non-interactive shells. The fix never has the text
// of that line: the host reports it, and the user pastes the fix.
func onlyForPersons(at *slurm.StartupLine) (hint, fix string) {
	switch {
	case strings.HasSuffix(at.File, ".fish"):
		fix = "status is-interactive; or return"
	case strings.HasSuffix(at.File, "csh.cshrc"), strings.HasSuffix(at.File, ".cshrc"), strings.HasSuffix(at.File, ".tcshrc"):
		fix = "if (! $?prompt) exit"
	default:
		fix = quietShell
	}
	return "make " + at.File + " stop there in non-interactive shells: insert before line " + at.Line + ": " + fix, fix
}

// remoteProblem explains an error that the remote half reported, by its kind.
func remoteProblem(e *slurm.RemoteError) Problem {
	p := Problem{ID: "remote-" + e.Kind, Code: Failure, Message: e.Message}
	if out := lastLine(e.Output); out != "" && (e.Kind == "shell" || e.Kind == "hang") {
		p.Message += "; it said: " + out
	}
	switch e.Kind {
	case "shell":
		p.Hint = joinHints("log in by hand to see why",
			"if one of your start-up files (~/.bash_profile, ~/.bashrc, ~/.profile) ends it, make that file do nothing in non-interactive shells, with this as its first line: "+quietShell)
		p.Fix = quietShell
	case "inner":
		if e.Line != nil {
			p.Hint, p.Fix = onlyForPersons(e.Line)
			break
		}
		p.Hint, p.Fix = "make the start-up files (~/.bashrc, ~/.zshenv, …) start it in interactive shells only: insert before that line: "+quietShell, quietShell
	case "input":
		p.Hint, p.Fix = "make the start-up files (~/.bashrc, ~/.zshenv, …) read standard input in interactive shells only, with this as their first line: "+quietShell, quietShell
	case "noslurm":
		p.Hint = "is this the login node of a Slurm cluster, and is Slurm on the PATH of a login shell there?"
	case "home":
		p.Hint, p.Fix = "the home directory may be full or read-only: check with quota or df ~ on the cluster, and list what uses the space: "+diskUsageCommand, diskUsageCommand
	case "nodir":
		p.Fix = "mv " + shellescape.Quote(e.Path) + " " + shellescape.Quote(e.Path+".old")
		p.Hint = "cscs keeps the files of its sessions in it; move it away on the cluster: " + p.Fix
	case "exposed":
		p.Fix = "chmod go-w " + shellescape.Quote(e.Path)
		p.Hint = "cscs keeps the scripts of its sessions in it, which run as you; on the cluster: " + p.Fix
	case "away":
		p.Hint = "this login node does not see the files that others see: try again, which may lead to another one, and report it to the site if it persists"
	case "hang":
		p.Hint, p.Fix = "a command in the start-up files (~/.bash_profile, ~/.bashrc, ~/.profile) waits or hangs; make them do nothing in non-interactive shells, with this as their first line: "+quietShell, quietShell
	case "nonode", "unknownnode":
		p.Hint, p.Fix = "confirm that the node matches your current Slurm allocation: squeue --me", "squeue --me"
	case "revoked":
		p.Code = Auth
	case "protocol":
		p.Hint = "try again; if it persists, it is a bug in cscs: please report it"
	}
	return p
}

var serverRules = []rule{
	ruleFor(func(e *app.OpenAccessError) Problem {
		return Problem{ID: "server-open", Code: Server, Message: e.Error(), Hint: e.Hint()}
	}),
	ruleFor(func(e *app.TokenRefusedError) Problem {
		return Problem{ID: "server-token", Code: Server, Message: e.Error(), Hint: e.Hint()}
	}),
	ruleFor(func(e *session.ProbeError) Problem {
		return Problem{ID: "server-probe", Code: Server, Message: e.Error(), Hint: hintOf(e.Err)}
	}),
	ruleFor(func(e *session.NodeError) Problem {
		return Problem{ID: "no-way-to-node", Code: Failure,
			Message: fmt.Sprintf("cannot reach %s although the job runs there: %v; by a job step: %s", e.Node, e.SSH, clusterMessage(e.Step)),
			Hint:    "ask the site to allow ssh to nodes where you have a job (pam_slurm_adopt), or to install OpenSSH's sshd on its nodes"}
	}),
	ruleFor(func(e *session.StartTimeoutError) Problem {
		p := Problem{ID: "start-timeout", Code: Server, Message: e.Error(), Hint: "allow more time with --start-timeout"}
		if e.Shell != nil {
			p.ID, p.Hint, p.Fix = "login-shell", loginShell, quietShell
			return p
		}
		if len(e.Others) > 0 {
			p.Hint = fmt.Sprintf("your processes listen on %s there instead: make the server use {port}, or set its port with --port", strings.Join(e.Others, ", "))
		}
		return p
	}),
	ruleFor(func(e *slurm.ServerError) Problem {
		p := Problem{ID: "server", Code: Server, Message: e.Message}
		if e.Node != "" && !strings.Contains(e.Message, e.Node) {
			p.Message += " (on " + e.Node + ")"
		}
		switch e.Reason {
		case "wide":
			p.ID, p.Hint = "server-wide", "ensure the server binds to 127.0.0.1; --allow-wide-bind accepts an address that everyone on the cluster can reach"
		case "port", "collision":
			p.ID, p.Hint = "server-port", "choose another port with --port, or omit it to get a free one"
		case "shell":
			p.ID, p.Hint, p.Fix = "login-shell", loginShell, quietShell
		case "setup":
			p.ID = "server-setup"
			p.Hint = hintOfSetup(e.Message)
		}
		return p
	}),
	ruleFor(func(e *session.NotYoursError) Problem {
		p := Problem{ID: "not-yours", Code: Failure, Message: e.Error()}
		if e.Owner == "" {
			p.ID, p.Hint = "server-wide", "ensure the server binds to 127.0.0.1; --allow-wide-bind forwards to it anyway"
		}
		return p
	}),
	fixedRule[*session.NothingListensError]("nothing-listens", Failure,
		"ensure the server binds to 127.0.0.1 and is running on the compute node; confirm that the node matches your current Slurm allocation: squeue --me", "squeue --me"),
}

// hintOfSetup returns the hint for the node's message about a server that it could not start.
func hintOfSetup(message string) string {
	const (
		missing = "was not found"
		demo    = "of the demo"
	)
	says := func(s string) bool { return strings.Contains(message, s) }
	switch {
	case strings.HasPrefix(message, "the variable "):
		return "write the path itself, or export the variable in ~/.bash_profile there; \\$ stands for a literal $"
	case strings.HasPrefix(message, "--bootstrap ") && says(demo):
		return "install the program on this machine, or in an environment for --venv DIR, and omit --bootstrap"
	case strings.HasPrefix(message, "--bootstrap ") && (says("No space left") || says("quota exceeded")):
		return "choose a directory with more space: --venv '$SCRATCH/venvs/NAME'"
	case strings.HasPrefix(message, "--bootstrap ") && says("cannot write"):
		return "choose a directory that you can write to: --venv DIR"
	case strings.HasPrefix(message, "the virtual environment "):
		return "run again with --bootstrap, which completes it"
	case says(missing + " in the container"):
		return "the container has only what the image contains and the EDF mounts; --venv DIR is a path in the container"
	case says(missing) && says(demo):
		return "install it on this machine, or make it available with --venv DIR"
	// For a command that only an interactive shell knows, the message itself names the fix.
	case says(missing) && !says("interactive shells") && !strings.HasPrefix(message, "--bootstrap "):
		hint := "if it is installed there, make it available with --venv DIR, --setup 'module load …' or --uenv NAME"
		if says(missing + " in the uenv") {
			hint = "if a view of the uenv has it, select that view with --view; otherwise make it available with --venv DIR"
		}
		if strings.HasPrefix(message, "jupyter ") || strings.HasPrefix(message, "tensorboard ") {
			hint += "; if not, --bootstrap installs it once, in a virtual environment in your home"
		}
		return hint
	}
	return ""
}

// clusterMessage returns the cluster's message in an error of a job step, without the step's own.
func clusterMessage(err error) string {
	var remote *slurm.RemoteError
	var step *slurm.StepError
	switch {
	case errors.As(err, &remote):
		return remote.Message
	case errors.As(err, &step):
		return step.Message
	}
	return err.Error()
}

// hintOf returns the hint of an error that has a method Hint.
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// noHomeProblem is for a home directory that is unknown because HOME is not set.
func noHomeProblem(err error) Problem {
	p := Problem{ID: "no-home", Code: Failure, Message: err.Error()}
	if runtime.GOOS != "windows" { // Windows does not use HOME
		p.Fix = `export HOME=$(eval echo "~$(id -un)")` // a shell looks the name up in the system
		p.Hint = "set it to the value that the system has: " + p.Fix
	}
	return p
}

const noBrowser = "--no-browser"

// browserProblem returns the problem of a browser that does not show the session.
func browserProblem(id, message string) Problem {
	return Problem{ID: id, Code: Failure, Message: message, Hint: "open the link yourself; to only print it: " + noBrowser, Fix: noBrowser}
}

var localRules = []rule{
	ruleFor(func(e *forward.PortBusyError) Problem {
		return Problem{ID: "port-busy", Code: Failure, Message: e.Error(),
			Hint: fmt.Sprintf("choose another with --local-port %d, or omit it to get the next free one", e.Port%65535+1), Fix: fmt.Sprintf("--local-port %d", e.Port%65535+1)}
	}),
	fixedRule[*forward.PortDeniedError]("port-denied", Failure, "choose one above 1023 with --local-port, or omit it", ""),
	ruleFor(func(e *site.HomeError) Problem { return noHomeProblem(e) }),
	ruleFor(func(e *key.HomeError) Problem { return noHomeProblem(e) }),
	ruleFor(func(e *browser.LaunchError) Problem {
		return browserProblem("browser", fmt.Sprintf("the browser could not be opened (%v)", e.Err))
	}),
	ruleFor(func(e *browser.UnusedError) Problem {
		message := fmt.Sprintf("the browser has not opened the session within %v", e.After)
		if e.Refused != "" {
			message += " (" + e.Refused + " tried to, and was refused)"
		}
		return browserProblem("browser", message)
	}),
	func(err error) (Problem, bool) {
		return browserProblem("no-browser", browser.ErrNoBrowser.Error()), errors.Is(err, browser.ErrNoBrowser)
	},
}
