package site

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A file has the format of config.toml, of the site-wide file and of the embedded clusters.toml.
type file struct {
	DefaultCluster string                 `toml:"default_cluster"` // the cluster of a command that names none
	SSHConfig      string                 `toml:"ssh_config"`      // a file in place of ~/.ssh/config
	Persist        text                   `toml:"persist"`         // --persist for each cluster without its own
	Hosts          map[string]fileHost    `toml:"hosts"`           // jump hosts, under the names that jump uses
	Signing        map[string]fileSigning `toml:"signing"`         // services that sign keys
	Clusters       map[string]fileCluster `toml:"clusters"`        // Slurm sites, under the names for --cluster
	Recipes        map[string]fileRecipe  `toml:"recipes"`         // commands, under the names for cscs run NAME
}

type fileHost struct {
	Host       string `toml:"host"`                                      // a name of the DNS, an address, or a Host of ~/.ssh/config; without it, the name of the table
	Port       *int   `toml:"port" jsonschema:"minimum=1,maximum=65535"` // the port of its sshd
	User       string `toml:"user"`                                      // the user to log in as
	Identity   string `toml:"identity"`                                  // the file of the private key
	KnownHosts string `toml:"known_hosts"`                               // a file of host keys, in place of those that ssh uses; in the site-wide file, in addition to them
}

type fileCluster struct {
	fileHost
	Jump    *[]string `toml:"jump"`    // the jump hosts, outermost first: names of [hosts] tables, or user@host:port (in the site-wide file, without user and port); [] for none
	Signing *string   `toml:"signing"` // the service that signs keys for the cluster; "" for none
	defaults
}

type fileRecipe struct {
	Command []string `toml:"command" jsonschema:"minItems=1"` // the command and its arguments; {port} stands for the port
	Port    text     `toml:"port"`                            // the port of the server on the node
	defaults
}

// defaults are the flags that a cluster or a recipe may preset. The key is the flag's name with "_" for
// "-"; listSettings depends on that.
type defaults struct {
	Cluster       text              `toml:"cluster"` // the cluster to run on; in recipes only
	Time          text              `toml:"time"`
	Account       text              `toml:"account"`
	Partition     text              `toml:"partition"`
	QOS           text              `toml:"qos"`
	Nodes         text              `toml:"nodes"`
	Nodelist      text              `toml:"nodelist"`
	GPUs          text              `toml:"gpus"`
	Mem           text              `toml:"mem"`
	Constraint    text              `toml:"constraint"`
	Reservation   text              `toml:"reservation"`
	Slurm         []string          `toml:"slurm"`
	Setup         texts             `toml:"setup"`
	Venv          text              `toml:"venv"`
	Bootstrap     *bool             `toml:"bootstrap"`
	Workdir       text              `toml:"workdir"`
	Env           map[string]string `toml:"env"`
	Uenv          text              `toml:"uenv"`
	View          text              `toml:"view"`
	Environment   text              `toml:"environment"`
	LocalPort     text              `toml:"local_port"`
	Via           text              `toml:"via"`
	QueueTimeout  text              `toml:"queue_timeout"`
	StartTimeout  text              `toml:"start_timeout"`
	Ready         text              `toml:"ready"`
	Path          text              `toml:"path"`
	Lease         text              `toml:"lease"`
	Idle          text              `toml:"idle"`
	Persist       text              `toml:"persist"`
	NoBrowser     *bool             `toml:"no_browser"`
	NoNotify      *bool             `toml:"no_notify"`
	NoSign        *bool             `toml:"no_sign"`
	Protect       *bool             `toml:"protect"`
	AllowWideBind *bool             `toml:"allow_wide_bind"`
	ForwardNew    *bool             `toml:"forward_new"`
	Keep          *bool             `toml:"keep"`
}

// text is a string that may also be written as a number: time = 30.
type text string

// UnmarshalText implements encoding.TextUnmarshaler. The decoder calls it for a number.
func (t *text) UnmarshalText(b []byte) error {
	*t = text(b)
	return nil
}

// texts is a list of strings that may also be written as one string.
type texts []string

// UnmarshalText implements encoding.TextUnmarshaler. The decoder calls it for a value that is no list.
func (t *texts) UnmarshalText(b []byte) error {
	*t = texts{string(b)}
	return nil
}

// A Setting is a value that a file presets for a flag.
type Setting struct {
	Flag   string   // the flag's name, without the dashes
	Values []string // more than one only for flags that may be repeated
	Pos    Position // where the file sets it
}

// listSettings returns the defaults that are set, in the order of the fields.
func (d defaults) listSettings(at func(key string) Position) []Setting {
	var out []Setting
	v := reflect.ValueOf(d)
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("toml")
		var values []string
		switch x := v.Field(i).Interface().(type) {
		case text:
			if x != "" {
				values = []string{string(x)}
			}
		case []string:
			values = x
		case texts:
			values = x
		case *bool:
			if x != nil {
				values = []string{strconv.FormatBool(*x)}
			}
		case map[string]string:
			for k, val := range x {
				values = append(values, k+"="+val)
			}
			slices.Sort(values)
		}
		if values != nil {
			out = append(out, Setting{Flag: strings.ReplaceAll(key, "_", "-"), Values: values, Pos: at(key)})
		}
	}
	return out
}

// keyOf returns the key of a flag. See listSettings.
func keyOf(flag string) string { return strings.ReplaceAll(flag, "-", "_") }
