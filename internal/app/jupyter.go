package app

import (
	"cmp"
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

// jupyterConfig reads the user's configuration and then makes the session's settings. It reads the
// path of the user's --config from the variable user_config, which a line before it sets.
//
//go:embed jupyter_config.py
var jupyterConfig string

// flavours are the front ends that `jupyter NAME` starts on the same server: the first page of each,
// and the Python package that contains it and a kernel. The server alone has none.
var flavours = map[string]struct{ page, pkg string }{
	"lab":       {"lab", "jupyterlab"},
	"notebook":  {"tree", "notebook"},
	"nbclassic": {"nbclassic/tree", "nbclassic"},
	"server":    {},
}

// Jupyter returns the app of a Jupyter server with the front end that flavour names: "lab" (the
// default), "notebook", "nbclassic" or "server". args are the user's arguments for it.
//
// Each server gets a new token, in a file ([App.Files]) that its configuration reads. All users of
// the node see arguments, all children of the server and their jobs get its environment, and a
// token that the server makes itself appears in its log. An argument that would expose the server
// more, or move it, is a [*UsageError]. docs/apps.md has what was verified of Jupyter's behaviour.
func Jupyter(args []string, flavour string) (App, error) {
	flavour = cmp.Or(flavour, "lab")
	front, ok := flavours[flavour]
	if !ok {
		return App{}, &UsageError{App: "jupyter", Message: "unknown front end " + flavour + ": choose lab, notebook, nbclassic or server"}
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
	// Web pages that try localhost cannot guess the path. Cookies are limited to it, so those of
	// sessions with the same local port do not conflict.
	base := "/" + randomHex(baseBytes) + "/"
	a := App{
		Name:      "jupyter",
		LocalPort: jupyterPort,
		Argv: append([]string{
			"jupyter", flavour,
			"--no-browser",
			"--ip=127.0.0.1",
			"--port={port}",
			// The node chose the port; another one would be unknown.
			"--ServerApp.port_retries=0",
			"--ServerApp.base_url=" + base,
			"--config={dir}/" + configFile,
		}, args...),
		Files: map[string][]byte{tokenFile: []byte(token), configFile: configOf(config)},
		Base:  strings.TrimRight(base, "/"),
		Path:  base + front.page,
		Query: url.Values{"token": {token}},
	}
	a.Package, a.Program = front.pkg, "jupyter-"+flavour
	a.asJupyter(base, token)
	return a, a.Validate()
}

// configOf returns the configuration file of a session, whose user gave --config=path ("" for none).
func configOf(path string) []byte {
	quoted, _ := json.Marshal(path) // a JSON string is also a Python string
	return []byte("user_config = " + string(quoted) + "\n" + jupyterConfig)
}

// takeConfig returns args without the option --config under any of its names, and its value.
// Jupyter reads one such file, and that is the session's.
func takeConfig(args []string) (rest []string, path string, err error) {
	for i := 0; i < len(args); i++ {
		name, value, ok := parseLongOption(args[i:])
		if !ok || !slices.Contains(configOptions, name) {
			rest = append(rest, args[i])
			continue
		}
		switch {
		case value == "":
			return nil, "", &UsageError{App: "jupyter", Arg: "--" + name, Message: "pass a file, such as --config=~/config.py"}
		case path != "":
			return nil, "", &UsageError{App: "jupyter", Arg: "--" + name, Message: "pass one file; it can load others with load_subconfig"}
		}
		path = value
		if !strings.Contains(args[i], "=") {
			i++
		}
	}
	return rest, path, nil
}

// configOptions are the names of the option for the server's configuration file. The front end's
// option, such as LabApp.config_file, is a different one.
var configOptions = []string{"config", "JupyterApp.config_file", "ServerApp.config_file", "NotebookApp.config_file"}

// asJupyter sets the functions that query a running Jupyter server.
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

// randomHex returns n random bytes from crypto/rand in hexadecimal.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its documentation
	return hex.EncodeToString(b)
}

// serverClasses are the classes by which Jupyter's command line reaches the options of its server.
// traitlets takes a class's options from its bases and, here, from the front end that starts it.
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

// refused tells why the user must not set these options of Jupyter's server, by name or alias.
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

// checkJupyter refuses the first of args if the user must not give it. It only serves a clear
// message before the start. The probe, and the node's check of listeners, find what it misses, such
// as a setting in a configuration file.
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
			return nil // an option of another class with the same name
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
