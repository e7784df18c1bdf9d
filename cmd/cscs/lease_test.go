package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
)

// TestKeepOrLease: they stand for each other, and so the nearer one counts: of the command
// line, the environment, config.toml.
func TestKeepOrLease(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		env    map[string]string
		config []site.Setting
		keep   bool
		lease  string
		fails  bool
	}{
		{name: "none", keep: false, lease: ""},
		{name: "keep before the environment", args: []string{"--keep"}, env: map[string]string{"CSCS_LEASE": "2h"}, keep: true, lease: "0s"},
		{name: "lease before the environment", args: []string{"--lease", "2h"}, env: map[string]string{"CSCS_KEEP": "true"}, lease: "2h"},
		{name: "lease before the configuration", args: []string{"--lease", "2h"}, config: []site.Setting{{Flag: "keep", Values: []string{"true"}}}, lease: "2h"},
		{name: "keep of the environment", env: map[string]string{"CSCS_KEEP": "true"}, config: []site.Setting{{Flag: "lease", Values: []string{"2h"}}}, keep: true, lease: "0s"},
		{name: "keep of the configuration", config: []site.Setting{{Flag: "keep", Values: []string{"true"}}}, keep: true, lease: "0s"},
		{name: "the same in two ways", args: []string{"--keep", "--lease", "0s"}, keep: true, lease: "0s"},
		{name: "both", args: []string{"--keep", "--lease", "2h"}, fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			j, cmd := newJob(), &cobra.Command{}
			j.addServer(cmd)
			j.addSlurm(cmd)
			if err := cmd.ParseFlags(tt.args); err != nil {
				t.Fatal(err)
			}
			err := fillEnv(cmd.Flags())
			if err == nil {
				err = fillConfig(cmd.Flags(), tt.config)
			}
			keep, lease := cmd.Flags().Lookup("keep").Value.String() == "true", cmd.Flags().Lookup("lease").Value.String()
			if tt.fails {
				var usage *problem.UsageError
				if !errors.As(err, &usage) || !strings.Contains(usage.Message, "--keep") || !strings.Contains(usage.Message, "--lease 2h") {
					t.Errorf("keep %v, lease %v, %v", keep, lease, err)
				}
				return
			}
			if err != nil || keep != tt.keep || lease != tt.lease {
				t.Errorf("keep %v, lease %v, %v", keep, lease, err)
			}
		})
	}
}
