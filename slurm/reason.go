package slurm

import "strings"

// reasons are Slurm's pending reasons (squeue(1), JOB REASON CODES). never: waiting does not help.
var reasons = map[string]struct {
	plain string
	never bool
}{
	"None":                            {"Slurm has not looked at it yet", false},
	"Priority":                        {"other jobs come first", false},
	"Resources":                       {"waiting for nodes to become free", false},
	"PartitionTimeLimit":              {"the time limit is longer than the partition allows", true},
	"PartitionNodeLimit":              {"more nodes than the partition allows, or has", true},
	"PartitionDown":                   {"the partition is down", false},
	"PartitionInactive":               {"the partition is not active", false},
	"PartitionConfig":                 {"the request does not fit the partition's limits on time or nodes", true},
	"InvalidAccount":                  {"the account is not valid", true},
	"InvalidQOS":                      {"the QOS is not valid", true},
	"AccountNotAllowed":               {"the account may not use this partition", true},
	"QOSNotAllowed":                   {"the QOS may not be used here", true},
	"BadConstraints":                  {"no node has what the request asks for", true},
	"ReservationDeleted":              {"the reservation no longer exists", true},
	"Reservation":                     {"waiting for the reservation to begin", false},
	"ReqNodeNotAvail":                 {"a node that was asked for is not available, or a maintenance is near", false},
	"Nodes_required_for_job_are_DOWN": {"nodes that it needs are down, drained or reserved", false},
	"NodeDown":                        {"a node that it needs is down", false},
	"BeginTime":                       {"its begin time has not come", false},
	"Dependency":                      {"waiting for another job", false},
	"JobHeldUser":                     {"held by its user: scontrol release JOB lets it go", false},
	"JobHeldAdmin":                    {"held by an administrator", false},
	"launch":                          {"Slurm could not launch it on its nodes, and holds it", true}, // "launch failed requeued held"
	"DependencyNeverSatisfied":        {"the job that it depends on did not end as it should have", true},
	"Licenses":                        {"waiting for licences", false},
	"Cleaning":                        {"cleaning up from an earlier run", false},
	"Prolog":                          {"the node is being prepared", false},
	"DeadLine":                        {"it can no longer end before its deadline", true},
	"QOSJobLimit":                     {"as many jobs of this QOS as are allowed are running", false},
	"QOSResourceLimit":                {"this QOS uses as much as it may", false},
	"QOSTimeLimit":                    {"the time limit is longer than the QOS allows", true},
	"AssociationJobLimit":             {"as many jobs of this account as are allowed are running", false},
	"AssociationResourceLimit":        {"the account uses as much as it may", false},
	"AssociationTimeLimit":            {"the time limit is longer than the account allows", true},
	"JobArrayTaskLimit":               {"as many tasks of the array as are allowed are running", false},
	"MaxMemPerLimit":                  {"more memory than is allowed", true},
}

// ExplainReason returns a job's pending reason in plain words. It splits an unknown one into words.
func ExplainReason(reason, job string) string {
	name := firstWord(reason)
	if r, ok := reasons[name]; ok {
		return strings.Replace(r.plain, "JOB", job, 1)
	}
	for _, p := range []struct{ prefix, who string }{{"Assoc", "the account"}, {"QOS", "the QOS"}} {
		if !strings.HasPrefix(name, p.prefix) {
			continue
		}
		switch {
		case isBudgetReason(name):
			return "the budget of " + p.who + " is used up, or too small for what the job asks for"
		case strings.Contains(name, "PerJob"):
			return "more than " + p.who + " allows for one job"
		case strings.Contains(name, "Grp"):
			return p.who + " uses as much as it may: waiting for other jobs of it to end"
		case strings.Contains(name, "Max"):
			return p.who + " allows you no more at a time: waiting for your other jobs to end"
		}
	}
	return splitWords(reason)
}

// NeverStarts reports whether a job that is pending for reason can never start.
func NeverStarts(reason string) bool {
	name := firstWord(reason)
	if r, ok := reasons[name]; ok {
		return r.never
	}
	// The end of other jobs does not lift a limit on each job: AssocMaxCpuPerJobLimit,
	// QOSMaxWallDurationPerJobLimit, QOSMinGRES, …
	return (strings.HasPrefix(name, "Assoc") || strings.HasPrefix(name, "QOS")) &&
		(strings.Contains(name, "PerJob") || strings.HasPrefix(name, "QOSMin") || isBudgetReason(name))
}

// isBudgetReason reports whether the reason is a used-up budget: AssocGrpCPUMinutesLimit,
// QOSGrpBillingMinutes, … The end of another job gives back only what that job had reserved and not
// used. RunMinutes limit the running jobs, which do end.
func isBudgetReason(reason string) bool {
	return strings.Contains(reason, "Minutes") && !strings.Contains(reason, "RunMinutes")
}

// firstWord returns the reason without its nodes ("ReqNodeNotAvail, UnavailableNodes:nid001001").
func firstWord(reason string) string {
	word, _, _ := strings.Cut(reason, " ")
	return strings.TrimRight(word, ",.")
}

// splitWords turns "BurstBufferStageIn" into "burst buffer stage in".
func splitWords(s string) string {
	var b strings.Builder
	prev := ' '
	for _, r := range s {
		if r >= 'A' && r <= 'Z' && prev >= 'a' && prev <= 'z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		prev = r
	}
	return strings.ToLower(strings.ReplaceAll(b.String(), "_", " "))
}
