package slurm

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// TestReadonlyPort: a start-up file that makes PORT read-only does not keep the server from its port, neither
// in its environment nor in its arguments.
func TestReadonlyPort(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	putFiles(t, f.Home, map[string]string{".bash_profile": "readonly PORT=80\n"})
	id := testID(t)
	argv := append([]string{"bash", "-c", `[[ $PORT == "$1" && $AT == "$1" ]] || exit 3; shift; exec "$@"`, "bash", "{port}"}, serverArgv("127.0.0.1")...)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: argv, Env: map[string]string{"AT": "{port}"}, Grace: time.Second}})
	getOK(t, await[Listening](r).Addr)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// TestReadonlyEnv: a variable of --env that a start-up file makes read-only is reported by its name.
func TestReadonlyEnv(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	putFiles(t, f.Home, map[string]string{".bash_profile": "readonly LEVEL=80\n"})
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Env: map[string]string{"LEVEL": "1"}, Grace: time.Second}})
	waittest.Receive(t, 20*time.Second, "the end of a session without its variable", r.done)
	var server *ServerError
	if err := r.outcome.Err(); !errors.As(err, &server) || server.Reason != "setup" || !strings.Contains(server.Message, "LEVEL") {
		t.Errorf("ended with %v", err)
	}
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// TestLaunchAborted: an error of the login shell that ends launch is reported as such, and no other part of
// the script runs in that shell.
func TestLaunchAborted(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	putFiles(t, f.Home, map[string]string{".bash_profile": "readonly REPLY\n"})
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Env: map[string]string{"A": "1"}, Grace: time.Second}})
	r.wait()
	var server *ServerError
	if err := r.outcome.Err(); !errors.As(err, &server) || server.Reason != "setup" {
		t.Errorf("ended with %v", err)
	}
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}
