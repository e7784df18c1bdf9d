package app

import (
	"context"
	"crypto/rand"
	_ "embed" // for jupyterConfig
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	jupyterPort = 8888
	tokenFile   = "token"
	configFile  = "jupyter_config.py"
	tokenBytes  = 32
	baseBytes   = 6
)

// jupyterConfig reads the user's configuration and then sets what is the session's own. The path
// of the user's --config is in its variable user_config, set in a line before.
//
//go:embed jupyter_config.py
var jupyterConfig string

// flavours are the front ends that `jupyter NAME` starts on the same server,
// and the page on which each begins.
var flavours = map[string]string{
	"lab":       "lab",
	"notebook":  "tree",
	"nbclassic": "nbclassic/tree",
	"server":    "",
}

// packages are the Python packages that have the front ends, and a kernel. The server alone has none.
var packages = map[string]string{"lab": "jupyterlab", "notebook": "notebook", "nbclassic": "nbclassic"}

// Jupyter is a Jupyter server with the front end that flavour names: "lab"
// (also if it is empty), "notebook", "nbclassic" or "server". The arguments
// are the user's own for it.
//
// The server gets a token that is made anew each time. It goes by file
// ([App.Files]), which the server's configuration reads: all users of the node see
// arguments, an environment is for all that the server starts and for its jobs, and a token that the
// server makes itself goes into its log. An argument that would open the
// server wider, or move it from where it is looked for, is a [*UsageError].
// See docs/apps.md for what was verified of Jupyter's own behaviour.
func Jupyter(args []string, flavour string) (App, error) {
	if flavour == "" {
		flavour = "lab"
	}
	page, ok := flavours[flavour]
	if !ok {
		return App{}, &UsageError{App: "jupyter", Message: "no front end " + flavour + ": choose lab, notebook, nbclassic or server"}
	}
	for i := range args {
		if err := checkJupyter(args[i:]); err != nil {
			return App{}, err
		}
	}
	args, config, err := takeConfig(args)
	if err != nil {
		return App{}, err
	}
	token := randomHex(tokenBytes)
	// The address of the server cannot be guessed by web pages that try
	// localhost, and the cookies of sessions that had the same local port do
	// not get in each other's way: they go by path.
	base := "/" + randomHex(baseBytes) + "/"
	a := App{
		Name:      "jupyter",
		LocalPort: jupyterPort,
		Argv: append([]string{
			"jupyter", flavour,
			"--no-browser",
			"--ip=127.0.0.1",
			"--port={port}",
			// The node chose the port; another would be one that nobody knows.
			"--ServerApp.port_retries=0",
			"--ServerApp.base_url=" + base,
			"--config={dir}/" + configFile,
		}, args...),
		Files: map[string][]byte{tokenFile: []byte(token), configFile: configOf(config)},
		Base:  strings.TrimRight(base, "/"),
		Path:  base + page,
		Query: url.Values{"token": {token}},
	}
	a.Package, a.Program = packages[flavour], "jupyter-"+flavour
	a.asJupyter(base, token)
	return a, a.Validate()
}

// configOf returns the configuration file of a session, whose user gave --config=path ("" for none).
func configOf(path string) []byte {
	quoted, _ := json.Marshal(path) // a string of JSON is one of Python
	return []byte("user_config = " + string(quoted) + "\n" + jupyterConfig)
}

// takeConfig returns args without --config or another name of that option, and its value, since
// Jupyter takes one such file and it is the session's.
func takeConfig(args []string) (rest []string, path string, err error) {
	for i := 0; i < len(args); i++ {
		name, value, ok := parseLongOption(args[i:])
		if !ok || !slices.Contains(configOptions, name) {
			rest = append(rest, args[i])
			continue
		}
		switch {
		case value == "":
			return nil, "", &UsageError{App: "jupyter", Arg: "--" + name, Message: "name a file, such as --config=~/config.py"}
		case path != "":
			return nil, "", &UsageError{App: "jupyter", Arg: "--" + name, Message: "name one file; it can load others by load_subconfig"}
		}
		path = value
		if !strings.Contains(args[i], "=") {
			i++
		}
	}
	return rest, path, nil
}

// configOptions are the names of the option for the server's configuration file. The front end's,
// such as LabApp.config_file, is another.
var configOptions = []string{"config", "JupyterApp.config_file", "ServerApp.config_file", "NotebookApp.config_file"}

// asJupyter gives the app what is asked of a Jupyter server that runs.
func (a *App) asJupyter(base, token string) {
	a.OwnLogin, a.Base = token != "", strings.TrimRight(base, "/")
	a.Probe = func(ctx context.Context, c *http.Client, at string) error {
		return probeJupyter(ctx, c, strings.TrimRight(at, "/")+base, token)
	}
	a.Login = func(ctx context.Context, c *http.Client, at string) ([]string, error) {
		return loginJupyter(ctx, c, strings.TrimRight(at, "/")+base, token)
	}
	a.LastUse = (&jupyterUse{base: base, token: token}).lastUse
	a.Use = "run a cell, type in a terminal or save a file"
}

// randomHex is n bytes that nobody can guess, in hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its documentation
	return hex.EncodeToString(b)
}

// serverClasses are those through which Jupyter's command line reaches the
// options of its server: traitlets takes a class's options from its bases and,
// here, from the front end that the server was started by.
var serverClasses = []string{
	"ServerApp", "NotebookApp", "LabApp", "JupyterNotebookApp", "NBClassicApp",
	"ExtensionApp", "JupyterApp", "Application", "SingletonConfigurable", "Configurable", "LoggingConfigurable",
}

const (
	reasonIP       = "cscs has the server listen on 127.0.0.1 of the node and forwards that"
	reasonPort     = "use --port of cscs, before the --"
	reasonToken    = "cscs makes a new token for each session and passes it by file, where no one else on the node sees it"
	reasonNoToken  = "without a token anyone on the node could use the server; the link that cscs opens has it in it"
	reasonPassword = "cscs makes a token for each session; set a password in jupyter_server_config.py, not where everyone on the node sees it"
	reasonTLS      = "the tunnel is encrypted already, and ends in plain HTTP"
	reasonBase     = "cscs chooses the path of each session"
	reasonFiles    = "the server's files with its token in them belong into the session's directory"
	reasonSock     = "cscs forwards to a port, not a socket"
	reasonAuth     = "cscs checks that the session's token, and nothing else, lets one in"
)

// refused are the options, of Jupyter's server by their own name or of its
// aliases, that are not the user's to set, and why.
var refused = map[string]string{
	"ip": reasonIP, "port": reasonPort, "port_retries": reasonPort, "port-retries": reasonPort,
	"sock": reasonSock, "sock_mode": reasonSock, "sock-mode": reasonSock,
	"token": reasonToken, "password": reasonPassword, "hashed_password": reasonPassword,
	"password_required": reasonPassword,
	"certfile":          reasonTLS, "keyfile": reasonTLS, "client_ca": reasonTLS, "client-ca": reasonTLS,
	"base_url": reasonBase, "base_project_url": reasonBase,
	"runtime_dir": reasonFiles, "info_file": reasonFiles, "browser_open_file": reasonFiles,
	"browser_open_file_to_run": reasonFiles,
	"identity_provider_class":  reasonAuth, "authorizer_class": reasonAuth,
	"login_handler_class": reasonAuth, "allow_unauthenticated_access": reasonAuth,
}

// checkJupyter refuses the first of args if it cannot be the user's to give.
// It is for a clear word beforehand: whatever gets by, in a configuration file
// for one, is caught by the probe and by the node's own look at who listens
// where.
func checkJupyter(args []string) error {
	name, value, ok := parseLongOption(args)
	if !ok {
		return nil
	}
	option := name
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		class := name[:i]
		option = name[i+1:]
		if !slices.Contains(serverClasses, class) && !strings.HasSuffix(class, "IdentityProvider") {
			return nil // another class's option of the same name
		}
	}
	why, ok := refused[option]
	if !ok {
		return nil
	}
	if option == "token" && strings.Trim(value, `'"`) == "" {
		why = reasonNoToken
	}
	return &UsageError{App: "jupyter", Arg: "--" + name, Message: why}
}
