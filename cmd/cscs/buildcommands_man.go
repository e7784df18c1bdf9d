//go:build man

package main

import "github.com/spf13/cobra"

// addBuildCommands adds the commands for building a package of cscs, which no user needs:
// go run -tags man ./cmd/cscs man DIR
func addBuildCommands(root *cobra.Command) { root.AddCommand(newManCommand()) }
