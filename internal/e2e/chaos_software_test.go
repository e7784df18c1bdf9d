//go:build unix

package e2e

import "strings"

// The images of the lab (scripts/lab.d/spank.sh). Neither has /home, and so no home directory and no
// directory of the session.
const (
	debianImage = "/opt/images/debian" // /etc/profile resets PATH
	bareImage   = "/opt/images/bare"   // sh, and nothing else
	debianPath  = "/opt/image/bin:/usr/local/bin:/usr/bin:/bin"
	barePath    = "/bin"
)

// inImage is an EDF with an image and the test server.
func inImage(image string, more ...string) string {
	return strings.Join(append([]string{`image = "` + image + `"`, `mounts = ["/home/testserver:/srv/testserver"]`}, more...), "\n") + "\n"
}

const (
	viewPath   = "/user-environment/env/default/bin:"
	viewPython = "/user-environment/env/default/lib/python/site-packages"
)

// software is where a session's server runs: on the bare node, in a container or in a uenv.
type software struct {
	name  string            // "" is the bare node
	files map[string]string // EDFs, by their paths below the home
	flags []string
	image string // of the container; "" if it is none
	dir   string // in which the server runs
	path  string // the server's PATH in a container; with a uenv, how PATH begins
}

// server is the path of the test server there.
func (s software) server(onNode string) string {
	if s.image != "" {
		return "/srv/testserver"
	}
	return onNode
}

const (
	bareHome   = "/home/alice"
	homeMounts = "image = \"" + debianImage + "\"\nmounts = [\"/home:/home\", \"/home/testserver:/srv/testserver\"]\nworkdir = \"${HOME}\"\n"
)

// containers are those that a round may draw: an EDF by its name and by its path, with and without the home, with a
// directory of its own, with one that it inherits from, and an image that has only sh.
var containers = []software{
	{name: "EDF by name", image: debianImage, files: map[string]string{".edf/mine.toml": inImage(debianImage)}, flags: []string{"--environment", "mine"}, dir: "/", path: debianPath},
	{name: "EDF with sh alone", image: bareImage, files: map[string]string{".edf/mine.toml": inImage(bareImage)}, flags: []string{"--environment", "mine"}, dir: "/", path: barePath},
	{name: "EDF by absolute path", image: bareImage, files: map[string]string{"mine.toml": inImage(bareImage)}, flags: []string{"--environment", "/home/alice/mine.toml"}, dir: "/", path: barePath},
	{name: "EDF by relative path", image: debianImage, files: map[string]string{"mine.toml": inImage(debianImage)}, flags: []string{"--environment", "./mine.toml"}, dir: "/", path: debianPath},
	{name: "EDF below ~", image: bareImage, files: map[string]string{"mine.toml": inImage(bareImage)}, flags: []string{"--environment", "~/mine.toml"}, dir: "/", path: barePath},
	{name: "EDF with a base", image: bareImage, flags: []string{"--environment", "mine"}, dir: "/srv", path: barePath,
		files: map[string]string{".edf/base.toml": inImage(bareImage, `workdir = "/srv"`), ".edf/mine.toml": "base_environment = \"base\"\n"}},
	{name: "EDF with workdir", image: debianImage, files: map[string]string{".edf/mine.toml": inImage(debianImage, `workdir = "/srv"`)}, flags: []string{"--environment", "mine"}, dir: "/srv", path: debianPath},
	{name: "EDF that mounts the home", image: debianImage, files: map[string]string{".edf/mine.toml": homeMounts}, flags: []string{"--environment", "mine"}, dir: bareHome, path: debianPath},
}

// uenvs are those that a round may draw.
var uenvs = []software{
	{name: "uenv with a view", flags: []string{"--uenv", "prgenv-gnu/24.11:v1", "--view", "default"}, dir: bareHome, path: viewPath},
	{name: "uenv with another view", flags: []string{"--uenv", "prgenv-gnu", "--view", "modules"}, dir: bareHome, path: "/user-environment/env/modules/bin:"},
	{name: "uenv without --view", flags: []string{"--uenv", "pytorch"}, dir: bareHome, path: viewPath},
}
