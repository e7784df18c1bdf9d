package site

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// A file has the format of config.toml and of the embedded clusters.toml.
type file struct {
	DefaultCluster string                 `toml:"default_cluster"`
	SSHConfig      string                 `toml:"ssh_config"`
	Persist        text                   `toml:"persist"` // for each cluster without its own
	Hosts          map[string]fileHost    `toml:"hosts"`
	Signing        map[string]fileSigning `toml:"signing"`
	Clusters       map[string]fileCluster `toml:"clusters"`
	Recipes        map[string]fileRecipe  `toml:"recipes"`
}

type fileHost struct {
	Host       string `toml:"host"`
	Port       int    `toml:"port"`
	User       string `toml:"user"`
	Identity   string `toml:"identity"`
	KnownHosts string `toml:"known_hosts"`
}

type fileCluster struct {
	fileHost
	Jump    *[]string `toml:"jump"`    // empty: no jump host; nil: not set
	Signing *string   `toml:"signing"` // empty: none; nil: not set
	defaults
}

type fileRecipe struct {
	Command []string `toml:"command"`
	Port    text     `toml:"port"`
	defaults
}

// defaults are the flags that a cluster or a recipe may preset. The key is the flag's name with "_" for
// "-"; listSettings depends on that.
type defaults struct {
	Cluster       text              `toml:"cluster"` // in recipes only
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

// A Setting is a value that config.toml presets for a flag.
type Setting struct {
	Flag   string   // the flag's name, without the dashes
	Values []string // more than one only for flags that may be repeated
	Pos    Position // where config.toml sets it
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

// parseConfig decodes data strictly. An unknown key is most often misspelt. A misspelt account that is
// ignored would cost the user a day.
func parseConfig(name string, data []byte) (*file, positions, error) {
	var f file
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&f)
	if err == nil {
		return &f, findPositions(name, data), nil
	}
	cerr := &ConfigError{File: name, Message: strings.TrimPrefix(err.Error(), "toml: ")}
	var strict *toml.StrictMissingError
	var dec *toml.DecodeError
	switch {
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		first := strict.Errors[0]
		cerr.Line, cerr.Column = first.Position()
		key := first.Key()
		cerr.Message = "unknown key " + strings.Join(key, ".")
		wrong, known := key[0], keysOf(file{}) // a table that does not exist, or a key in one that does
		if slices.Contains(known, wrong) {
			wrong, known = key[len(key)-1], keysOf(fileHost{}, fileSigning{}, fileCluster{}, fileRecipe{}, defaults{})
		}
		if near := Nearest(wrong, known); near != "" {
			cerr.Message += ", did you mean " + near + "?"
		}
	case errors.As(err, &dec):
		cerr.Line, cerr.Column = dec.Position()
		cerr.Message = explainTypeError(cerr.Message, dec.Key())
	}
	return nil, nil, cerr
}

// keysOf returns the TOML keys of these types.
func keysOf(forms ...any) []string {
	var keys []string
	for _, form := range forms {
		t := reflect.TypeOf(form)
		for i := range t.NumField() {
			if key := t.Field(i).Tag.Get("toml"); key != "" {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// explainTypeError says which type a value should have. The decoder reports that only as text, with
// Go's names of types.
func explainTypeError(message string, key toml.Key) string {
	is, field, ok := strings.Cut(strings.TrimPrefix(message, "cannot decode TOML "), " into struct field ")
	if !ok {
		return message
	}
	should := field[strings.LastIndex(field, " of type ")+len(" of type "):]
	switch {
	case strings.HasPrefix(should, "[]"), strings.HasPrefix(should, "*[]"):
		should = "a list"
	case strings.HasPrefix(should, "map["), strings.Contains(should, ".file"):
		should = "a table"
	case strings.HasSuffix(should, "bool"):
		should = "true or false"
	case should == "int":
		should = "a number"
	default:
		should = "a string"
	}
	return fmt.Sprintf("%s must be %s, not %s", strings.Join(key, "."), should, is)
}
