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

// A file is the form of config.toml and of the embedded clusters.toml.
type file struct {
	DefaultCluster string                 `toml:"default_cluster"`
	SSHConfig      string                 `toml:"ssh_config"`
	Hosts          map[string]fileHost    `toml:"hosts"`
	Clusters       map[string]fileCluster `toml:"clusters"`
	Recipes        map[string]fileRecipe  `toml:"recipes"`
}

type fileHost struct {
	Host     string `toml:"host"`
	Port     int    `toml:"port"`
	User     string `toml:"user"`
	Identity string `toml:"identity"`
}

type fileCluster struct {
	Host     string    `toml:"host"`
	Jump     *[]string `toml:"jump"` // an empty list says "no jump host", none at all says nothing
	Port     int       `toml:"port"`
	User     string    `toml:"user"`
	Identity string    `toml:"identity"`
	defaults
}

type fileRecipe struct {
	Command []string `toml:"command"`
	Port    text     `toml:"port"`
	defaults
}

// defaults are the flags that a cluster or a recipe may preset. The key is the
// flag's name with "_" for "-"; settings depends on that.
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
	Setup         text              `toml:"setup"`
	Venv          text              `toml:"venv"`
	Workdir       text              `toml:"workdir"`
	Env           map[string]string `toml:"env"`
	Uenv          text              `toml:"uenv"`
	View          text              `toml:"view"`
	Environment   text              `toml:"environment"`
	LocalPort     text              `toml:"local_port"`
	QueueTimeout  text              `toml:"queue_timeout"`
	StartTimeout  text              `toml:"start_timeout"`
	Lease         text              `toml:"lease"`
	NoBrowser     *bool             `toml:"no_browser"`
	AllowWideBind *bool             `toml:"allow_wide_bind"`
	Keep          *bool             `toml:"keep"`
}

// text is a string that may also be written as a number: time = 30.
type text string

// UnmarshalText is what the decoder calls for a number.
func (t *text) UnmarshalText(b []byte) error {
	*t = text(b)
	return nil
}

// A Setting is a value that config.toml presets for a flag.
type Setting struct {
	Flag   string   // the flag's name, without the dashes
	Values []string // more than one only for flags that may be repeated
	Pos    Position // where it is written
}

// settings lists the defaults that are set, in the order of the fields.
func (d defaults) settings(at func(key string) Position) []Setting {
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

// parse decodes data strictly: an unknown key is most often a misspelt one, and
// a misspelt account that is silently ignored costs its owner a day.
func parse(name string, data []byte) (*file, positions, error) {
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
		cerr.Message = fmt.Sprintf("unknown key %s", strings.Join(first.Key(), "."))
	case errors.As(err, &dec):
		cerr.Line, cerr.Column = dec.Position()
	}
	return nil, nil, cerr
}
