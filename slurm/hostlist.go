package slurm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxHosts is the maximum number of hosts in a host list: more than any cluster has, and few enough
// that a wrong list does not fill the memory.
const maxHosts = 1 << 16

// maxName is the maximum length of a host name (RFC 1035, section 2.3.4). A long list of names with
// many leading zeros could fill the memory too.
const maxName = 255

var errHostlist = errors.New("not a host list")

// Hostlist expands a node list as Slurm prints it, "nid[001001-001003,001007],x1", in its order
// (squeue(1), %N). Several brackets in one name multiply, the last one fastest. Leading zeros stay.
// An empty list has no nodes.
func Hostlist(s string) ([]string, error) {
	var out []string
	for s != "" {
		item, rest, err := cutItem(s)
		if err != nil {
			return nil, fmt.Errorf("expand %q: %w", s, err)
		}
		names, err := expandItem(item, maxHosts-len(out))
		if err != nil {
			return nil, fmt.Errorf("expand %q: %w", item, err)
		}
		for _, name := range names {
			if !IsNode(name) {
				return nil, fmt.Errorf("expand %.60q: %w", item, errHostlist)
			}
		}
		out = append(out, names...)
		s = rest
	}
	return out, nil
}

// cutItem cuts s at the first comma outside brackets.
func cutItem(s string) (item, rest string, err error) {
	inside := false
	for i, r := range s {
		switch {
		case r == '[' && inside, r == ']' && !inside:
			return "", "", errHostlist
		case r == '[':
			inside = true
		case r == ']':
			inside = false
		case r == ',' && !inside:
			if i == 0 || i == len(s)-1 {
				return "", "", errHostlist
			}
			return s[:i], s[i+1:], nil
		case r <= ' ' || r == 0x7f:
			return "", "", errHostlist
		}
	}
	if inside {
		return "", "", errHostlist
	}
	return s, "", nil
}

// expandItem returns the hosts of one item, at most limit.
func expandItem(item string, limit int) ([]string, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("more than %d hosts", maxHosts)
	}
	before, after, ok := strings.Cut(item, "[")
	if !ok {
		if item == "" || len(item) > maxName {
			return nil, errHostlist
		}
		return []string{item}, nil
	}
	ranges, after, _ := strings.Cut(after, "]")
	tails := []string{""}
	if after != "" {
		var err error
		if tails, err = expandItem(after, limit); err != nil {
			return nil, err
		}
	}
	longest := len(before)
	for _, t := range tails {
		longest = max(longest, len(before)+len(t))
	}
	var out []string
	for _, r := range strings.Split(ranges, ",") {
		lo, hi, isRange := strings.Cut(r, "-")
		if !isRange {
			hi = lo
		}
		if !isNumber(lo) || !isNumber(hi) || longest+max(len(lo), len(hi)) > maxName {
			return nil, errHostlist
		}
		a, errA := strconv.ParseUint(lo, 10, 63)
		b, errB := strconv.ParseUint(hi, 10, 63)
		if errA != nil || errB != nil || b < a {
			return nil, errHostlist
		}
		if b-a >= uint64(limit) || (len(out)+int(b-a)+1)*len(tails) > limit {
			return nil, fmt.Errorf("more than %d hosts", maxHosts)
		}
		for n := a; n <= b; n++ {
			for _, t := range tails {
				out = append(out, fmt.Sprintf("%s%0*d%s", before, len(lo), n, t))
			}
		}
	}
	return out, nil
}
