package slurm

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// timeSpan matches a time span with units: 2h, 1h30m, 1.5h, 1d12h.
var timeSpan = regexp.MustCompile(`^(?:([0-9]{1,4})d)?((?:[0-9.]+[hms])*)$`)

// ParseTime returns a time limit in a form that Slurm takes. It converts a time span with units
// (2h, 90m, 1d12h), and returns what CheckTime accepts unchanged. The error is CheckTime's.
func ParseTime(s string) (string, error) {
	err := CheckTime(s)
	if err == nil {
		return s, nil
	}
	lower := strings.ToLower(s)
	m := timeSpan.FindStringSubmatch(lower)
	if lower == "" || m == nil {
		return "", err
	}
	days, _ := strconv.Atoi(m[1]) // digits, or none
	var rest time.Duration
	if m[2] != "" {
		var spanErr error
		if rest, spanErr = time.ParseDuration(m[2]); spanErr != nil {
			return "", err
		}
	}
	seconds := int64(days)*24*3600 + int64((rest+time.Second-1)/time.Second)
	if seconds <= 0 {
		return "", err
	}
	hms := fmt.Sprintf("%02d:%02d:%02d", seconds/3600%24, seconds/60%60, seconds%60)
	if d := seconds / (24 * 3600); d > 0 {
		return fmt.Sprintf("%d-%s", d, hms), nil
	}
	return hms, nil
}

// DoubtTime explains a time limit of two numbers, which Slurm reads as minutes and seconds. It
// returns how the same hours and minutes are written; "" for any other form.
func DoubtTime(s string) string {
	first, second, ok := strings.Cut(s, ":")
	if !ok || !isNumber(first) || !isNumber(second) {
		return ""
	}
	m, _ := strconv.Atoi(first)
	sec, _ := strconv.Atoi(second)
	reads := formatCount(m, "minute")
	if sec > 0 {
		reads += " and " + formatCount(sec, "second")
	}
	span := ""
	if m > 0 {
		span = strconv.Itoa(m) + "h"
	}
	if sec > 0 {
		span += strconv.Itoa(sec) + "m"
	}
	hours := first + ":" + second + ":00"
	if span == "" {
		return "Slurm reads " + s + " as " + reads
	}
	return fmt.Sprintf("Slurm reads %s as %s; write hours and minutes as %s or %s", s, reads, hours, span)
}

func formatCount(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + unit + "s"
}
