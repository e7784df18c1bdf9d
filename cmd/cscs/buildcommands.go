//go:build !man

package main

import "github.com/spf13/cobra"

// addBuildCommands adds nothing: see the file for the tag man.
func addBuildCommands(*cobra.Command) {}
