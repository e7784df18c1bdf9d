package app

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTensorBoard(t *testing.T) {
	argv := func(more ...string) []string {
		return append([]string{"tensorboard", "--host", "127.0.0.1", "--port", "{port}"}, more...)
	}
	for _, tt := range []struct {
		name, logdir string
		args         []string
		argv         []string
		path         string
		reads        []string
	}{
		{"plain", "runs", nil, argv("--logdir=runs"), "/", []string{"runs"}},
		{"home", "~/my runs", nil, argv("--logdir=~/my runs"), "/", []string{"~/my runs"}},
		{"like an option", "-x", nil, argv("--logdir=-x"), "/", []string{"-x"}},
		{"elsewhere", "s3://bucket/runs", nil, argv("--logdir=s3://bucket/runs"), "/", nil},
		{"arguments", "runs", []string{"--reload_multifile=true"}, argv("--logdir=runs", "--reload_multifile=true"), "/", []string{"runs"}},
		{"prefix", "runs", []string{"--path_prefix=/tb"}, argv("--logdir=runs", "--path_prefix=/tb"), "/tb/", []string{"runs"}},
		{"prefix apart", "runs", []string{"--path_prefix", "/tb/"}, argv("--logdir=runs", "--path_prefix", "/tb/"), "/tb/", []string{"runs"}},
		{"empty prefix", "runs", []string{"--path_prefix="}, argv("--logdir=runs", "--path_prefix="), "/", []string{"runs"}},
		{"several", "", []string{"--logdir_spec=a:x,b:y"}, argv("--logdir_spec=a:x,b:y"), "/", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := TensorBoard(tt.logdir, tt.args)
			if err != nil {
				t.Fatal(err)
			}
			want := App{Name: "tensorboard", LocalPort: 6006, Argv: tt.argv, Base: strings.TrimRight(tt.path, "/"), Path: tt.path, Open: true, Reads: tt.reads, Package: "tensorboard", Program: "tensorboard"}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(App{}, "Probe")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTensorBoardRefuses(t *testing.T) {
	for _, tt := range []struct {
		logdir string
		args   []string
		want   string
	}{
		{"", nil, "--logdir"},
		{"", []string{"--reload_interval=5"}, "--logdir"},
		{"runs", []string{"--host=0.0.0.0"}, "127.0.0.1 of the node"},
		{"runs", []string{"--host", "0.0.0.0"}, "127.0.0.1 of the node"},
		{"runs", []string{"--hos=0.0.0.0"}, "127.0.0.1 of the node"},
		{"runs", []string{"--bind_all"}, "127.0.0.1 of the node"},
		{"runs", []string{"--bind"}, "127.0.0.1 of the node"},
		{"runs", []string{"--port=6007"}, "--port of cscs"},
		{"runs", []string{"--po", "6007"}, "--port of cscs"},
		{"runs", []string{"--logdir=other"}, "--logdir of cscs"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			_, err := TensorBoard(tt.logdir, tt.args)
			if !isUsage(err) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want a UsageError with %q", err, tt.want)
			}
		})
	}
}
