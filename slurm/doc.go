// Package slurm is all that speaks Slurm: the request for an allocation, the
// remote half that asks for it and guards it (remote/, a bash script sent over
// standard input), the events that come back, job states, pending reasons and
// host lists.
//
// It reaches the cluster through Remote, which runs a command on the login node;
// it knows nothing of connections, flags, terminals or files of configuration.
package slurm
