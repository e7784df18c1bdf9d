// Package e2e holds the tests that decide: they drive the built program as its
// user would, in the lab (scripts/lab), where SSH, Slurm, munge and PAM are the
// real ones. They are behind the build tag lab, because they need root and a
// lab that is up:
//
//	scripts/test e2e [-run REGEX]
//
// Each test begins and ends with a clean lab: no job in the queue, no process
// of alice's or mallory's on any host, no port taken on the laptop and no new
// file but logs. A test waits for events, never for time to pass.
//
// One table of scenarios (TestScenario) needs no lab: without the build tag it runs
// against the demo (internal/demo), in go test, as anybody.
package e2e
