package main

import (
	"fmt"
	"io"
)

// A topic is a text of cscs help that belongs to no command. Like the descriptions of the commands, the text
// consists of paragraphs, lists ("  name  description") and code, which is indented by four columns. In a topic,
// a line that ends with a colon and has an indented line below it is a heading. Package man reads the same form.
type topic struct {
	name, short, text string
	page              string // the name of its man page
	section           int    // the section of the manual that the page belongs to
}

var topics = []topic{
	{"keys", "How keys are signed, chosen and used", keysText, "cscs-keys", 7},
	{"sessions", "How long a session lasts, and how to leave and end it", sessionsText, "cscs-sessions", 7},
	{"configuration", "config.toml and the environment", configurationText, "cscs-config", 5},
	{"exit-codes", "What each exit code means", exitCodesText, "cscs-exit-codes", 7},
}

// findTopic returns the topic with this name.
func findTopic(name string) (topic, bool) {
	for _, t := range topics {
		if t.name == name {
			return t, true
		}
	}
	return topic{}, false
}

// printTopics lists the topics for the help of the root command.
func printTopics(w io.Writer) {
	fmt.Fprintln(w, "\nTopics:")
	for _, t := range topics {
		fmt.Fprintf(w, "  %-16s %s\n", t.name, t.short)
	}
}

const keysText = `CSCS accepts ssh keys that it has signed. A signature is valid for 24 hours, and
CSCS signs five keys a day. A command that finds no valid key offers to have it
signed, so you seldom run cscs key sign yourself. Without a terminal, or with
--no-sign, it prints what to run instead. If CSCS_API_KEY is set, it needs no
terminal and asks no question.

cscs uses the first of these keys that has a valid certificate: that of
--identity, that of config.toml, an IdentityFile that ~/.ssh/config sets for the
host (or, if ~/.ssh/config sets no key for it, not even in Host *, the identity
of the site-wide file), ~/.ssh/cscs-key, an IdentityFile for every host
(Host *), a key in the ssh agent, a key with a name that ssh tries by default
(~/.ssh/id_ed25519). It offers only this key to a host. A key of the first three
is used even if it has no certificate.

A session that is ready goes on with an expired certificate. It needs a new one
only to connect again, and uses that of the next cscs key sign.

Ways to get a signed key:
  cscs key sign                      sign in in the browser of this machine
  cscs key sign --headless           sign in on another device, with a code
  cscs key sign --service sshservice
                                     the older service: name, password and a
                                     six-digit code
  CSCS_API_KEY=... cscs key sign     a service account, valid for one minute
  cscs key import                    a key that the browser has saved

Afterwards:
  cscs key status                    is the key valid, for whom, until when?
  cscs key list                      the keys that CSCS has signed for you
  cscs key revoke                    servers refuse a signed key from then on
  cscs key passphrase                set, change or remove the passphrase
  cscs key agent                     enter the passphrase once: the ssh agent
                                     has the key until its certificate expires

Files:
  ~/.ssh/cscs-key                    the private key
  ~/.ssh/cscs-key-cert.pub           its certificate, the signed public key
`

const sessionsText = `A session is one job with one server in it, and the connection to that server.
Its ID has eight characters. Any unique beginning of the ID is enough, and the
only session needs none.

A job may run without a client only for the time of its lease: --lease, by
default 1 h. A client that attends the session renews the lease every 30 s. If
no client has renewed it for that long, the job ends itself. With --keep there
is no lease, and the job may run until its time limit.

A request that has to wait in the queue needs neither this machine nor a process
on the login node, except with --via salloc. With --detach, the command returns
once the job is queued. The lease begins when the job starts.

Commands:
  cscs ps                  list the sessions that this machine knows
  cscs ps --refresh        ask the clusters too, for sessions of other machines
  cscs attach [ID]         attach to a session, from any terminal or machine
  cscs detach [ID]         leave it running
  cscs stop [ID]           end it
  cscs logs [ID]           show the output of its server
  cscs open [ID]           open it in the browser again

What ends a session, and what does not:
  Ctrl-C                   stops the server, cancels the job and checks that the
                           job is gone
  Ctrl-C again             skips the time that the server has to end
  Ctrl-C a third time      exits at once; something may be left on the cluster
                           until the lease is over
  Ctrl-C in cscs attach    leaves the session, as cscs detach does
  a closed terminal        the same; nohup keeps the process
  kill -9, a flat battery  the job runs for the time of its lease
  a lost network, sleep    the job runs for the time of its lease; within it,
                           the same local address works again
`

const configurationText = `cscs works without configuration: the clusters of CSCS are built in, and cscs
reads ~/.ssh/config. A setting comes from the first of these that has it:

  1  the flag on the command line
  2  its environment variable: CSCS_ and the name of the flag in capitals, with
     _ for -, such as CSCS_NO_BROWSER=1
  3  config.toml: the recipe, then the cluster
  4  ~/.ssh/config: host names, ports, users, keys and jump hosts
  5  the site-wide file, for all users of this machine
  6  what is built in

The user and identity of a cluster also count for its jump hosts, but there only
if ~/.ssh/config sets none.

To see the result without connecting, add --dry-run to the command. cscs config
check reports mistakes, config show --origin prints the place of each value.

An example of config.toml. Most keys are the names of flags, with _ for -:

    default_cluster = "daint"

    [clusters.daint]                    # adds to what is built in
    account = "g123"
    time = "2h"

    [clusters.mylab]                    # another Slurm site
    host = "login.lab.example.org"      # or a Host of ~/.ssh/config
    jump = ["gate.example.org"]         # outermost first; [] for none
    user = "alice"

    [recipes.mlflow]                    # cscs run mlflow
    command = ["mlflow", "ui", "--port", "{port}", "--host", "127.0.0.1"]

Files:
  ~/.config/cscs/config.toml      on Windows %AppData%\cscs\config.toml;
                                  $XDG_CONFIG_HOME and $CSCS_CONFIG change it
  /etc/cscs/config.toml           the site-wide file (Windows: in %ProgramData%)
  ~/.local/state/cscs             records and logs; $XDG_STATE_HOME changes it;
                                  on Windows %LocalAppData%\cscs

Environment:
  CSCS_CONFIG                     this file instead of config.toml
  CSCS_SITE_CONFIG                this file instead of the site-wide file
  CSCS_SSH_CONFIG                 this file instead of ~/.ssh/config
  CSCS_API_KEY                    a service account that signs keys
  SSH_AUTH_SOCK                   the ssh agent
  NO_COLOR                        no colours
`

const exitCodesText = `Every command ends with one of these exit codes. Scripts may depend on them.
` + exitStatus + `

A session that ends because you asked for it (Ctrl-C once it is ready, cscs
stop, --idle) ends with 0, and so does a session that you detach from.

With 6, the message has the scancel command that ends the job. It also ends by
itself when its lease is over: see cscs help sessions.

With --verbose, a command that fails prints the ID of the problem too. With
--json, the last event of a session, "ended", has the exit code as "code".
`
