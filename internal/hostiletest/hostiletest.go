// Package hostiletest has hostile texts. Tests pass them to every place where outside input could
// enter.
package hostiletest

import "strings"

// IDs are texts that are not IDs of sessions.
var IDs = []string{
	"", "../../x", "..", ".", "/etc", "../abcde", "-oProxyC", "-oProxyCommand=x", "abcdefg\n", "abc\tdefg", "abcdefgh\n", "\nabcdefg", "abcd efg",
	"abcdefg\x00", "abcdefgh\x00", strings.Repeat("a", 300), "ABCDEFGH", "abcdefg", "abcdefghi", "abcdefg1", "abcdefg0", "abcdefg8", "abcdefg9",
	"abcdefg.", "abcd/efg", `abcd\efg`, "abcdefg*", "abcdefg'", `abcdefg"`, "$(touch)", "`touch`", "abcdéfg", "ａｂｃｄｅｆｇｈ", "\u212aabcdefg", "\x1b[31mabc", "abcdefg\xff",
}

// Words are texts that are not names of hosts, users, clusters or jobs.
var Words = []string{
	"../../x", "..", "-oProxyCommand=x", "-x", "a\nb", "a\tb", "a\x00b", "a b", "a;b", "$(b)", "`b`", "a'b", `a"b`, `a\b`, "a/b", "\x1b[31ma", "ａ", "a\xff", "a|b",
	strings.Repeat("a", 300), strings.Repeat("1", 300),
}
