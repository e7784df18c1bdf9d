package demo

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alps-tunnel/cscs/slurm"
)

// A launchPlan says how to start the server. Variables of the login environment are replaced.
type launchPlan struct {
	workdir, venv    string
	env, argv, reads []string
}

// An unsetError reports a variable without a value.
type unsetError struct{ name, option string }

func (e *unsetError) Error() string {
	return fmt.Sprintf("the variable %s of %s is not set", e.name, e.option)
}

// planLaunch replaces variables as slurm/remote/00-expand.sh does. The error is an *unsetError.
func planLaunch(a *slurm.ParsedCall, get func(name string) string) (launchPlan, error) {
	var unset *unsetError
	expand := func(option, text string) string {
		return slurm.ExpandVariables(text, func(s string) string { return s }, func(name string) string {
			value := get(name)
			if value == "" && unset == nil {
				unset = &unsetError{name, option}
			}
			return value
		})
	}
	p := launchPlan{workdir: expand("--workdir", a.Get("workdir")), venv: expand("--venv", a.Get("venv"))}
	for _, kv := range a.List("env") {
		name, value, _ := strings.Cut(kv, "=")
		if slurm.ExpandsEnv(value) {
			value = expand("--env "+name, value)
		}
		p.env = append(p.env, name+"="+value)
	}
	for _, arg := range a.List("argv") {
		if head, path, ok := slurm.SplitArgument(arg, a.List("reads")); ok {
			option := "the command"
			if head != "" {
				option = strings.TrimSuffix(head, "=")
			}
			arg = head + expand(option, path)
		}
		p.argv = append(p.argv, arg)
	}
	for _, path := range a.List("reads") {
		p.reads = append(p.reads, expand("--logdir", path))
	}
	if unset != nil {
		return launchPlan{}, unset
	}
	return p, nil
}

// planAhead is planLaunch on the login node. ok is false if the plan needs a variable that only
// the compute node has.
func planAhead(a *slurm.ParsedCall) (p launchPlan, ok bool, err error) {
	p, err = planLaunch(a, func(name string) string { return orHome(name, os.Getenv(name)) })
	var unset *unsetError
	if errors.As(err, &unset) && (strings.HasPrefix(unset.name, "SLURM") || unset.name == "PORT" || unset.name == "CSCS_SESSION") {
		return p, false, nil
	}
	return p, err == nil, err
}

// orHome returns value. If HOME is unset, as on Windows, it returns the user's home directory.
func orHome(name, value string) string {
	if value == "" && name == "HOME" {
		value, _ = os.UserHomeDir()
	}
	return value
}
