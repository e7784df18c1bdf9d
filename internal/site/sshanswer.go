package site

import (
	"bufio"
	"bytes"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// settings is the part of ssh's answer that we need, unexpanded.
type settings struct {
	hostName         string
	user             string // empty if it is only the local user's name
	port             int
	proxyJump        string
	proxyCommand     string
	identityFiles    []string // nil if they are only ssh's defaults
	identitiesOnly   bool
	certificateFiles []string
	identityAgent    string
	userKnownHosts   []string
	globalKnownHosts []string
	hostKeyAlias     string
	strict           string
	addressFamily    string
	connectTimeout   time.Duration
	controlPath      string // expanded by ssh; empty for none
	controlAsks      bool   // the ssh at controlPath asks the user before each use of it
}

// parseAnswer parses the output of ssh -G. Each line is a lower-case keyword and its value.
func parseAnswer(out []byte) settings {
	var s settings
	sc := bufio.NewScanner(bytes.NewReader(out))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		key, value, _ := strings.Cut(strings.TrimRight(sc.Text(), "\r"), " ")
		s.setKeyword(key, value)
	}
	if defaultIdentities(s.identityFiles) {
		s.identityFiles = nil
	}
	return s
}

// setKeyword sets the field of a lower-case keyword. It ignores unknown keywords.
func (s *settings) setKeyword(key, value string) {
	none := strings.EqualFold(value, "none")
	switch key {
	case "hostname":
		s.hostName = value
	case "user":
		s.user = value
	case "port":
		s.port, _ = strconv.Atoi(value)
	case "proxyjump":
		if !none {
			s.proxyJump = value
		}
	case "proxycommand":
		if !none {
			s.proxyCommand = value
		}
	case "identityfile":
		s.identityFiles = append(s.identityFiles, value)
	case "identitiesonly":
		s.identitiesOnly = isYes(value)
	case "certificatefile":
		if !none {
			s.certificateFiles = append(s.certificateFiles, value)
		}
	case "identityagent":
		s.identityAgent = value
	case "controlpath":
		if !none {
			s.controlPath = value
		}
	case "controlmaster":
		s.controlAsks = strings.EqualFold(value, "ask") || strings.EqualFold(value, "autoask")
	case "userknownhostsfile":
		s.userKnownHosts = splitFiles(value)
	case "globalknownhostsfile":
		s.globalKnownHosts = splitFiles(value)
	case "hostkeyalias":
		s.hostKeyAlias = value
	case "stricthostkeychecking":
		s.strict = strings.ToLower(value)
	case "addressfamily":
		s.addressFamily = strings.ToLower(value)
	case "connecttimeout":
		if n, err := strconv.Atoi(value); err == nil {
			s.connectTimeout = time.Duration(n) * time.Second
		}
	}
}

func isYes(v string) bool { return strings.EqualFold(v, "yes") || strings.EqualFold(v, "true") }

// splitFiles splits a list of files. ssh -G prints them without quotes. A word that does not look like
// the start of a path belongs to the name before it, which contains a space.
func splitFiles(value string) []string {
	if strings.EqualFold(value, "none") {
		return nil
	}
	var files []string
	for f := range strings.FieldsSeq(value) {
		begins := strings.HasPrefix(f, "/") || strings.HasPrefix(f, "~") || strings.HasPrefix(f, "%") ||
			strings.HasPrefix(f, "$") || strings.HasPrefix(f, "__PROGRAMDATA__") || len(f) > 1 && f[1] == ':'
		if begins || len(files) == 0 {
			files = append(files, f)
		} else {
			files[len(files)-1] += " " + f
		}
	}
	return files
}

// defaultIdentities recognises the list that ssh tries if no IdentityFile is configured. That list
// differs between versions. A user's list of at least four of these names, and nothing else, counts as the default.
func defaultIdentities(files []string) bool {
	for _, f := range files {
		switch strings.TrimPrefix(f, "~/.ssh/") {
		case "id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss", "id_dsa", "id_mldsa44_ed25519":
		default:
			return false
		}
	}
	return len(files) > 3
}

// isLocalUser reports whether name is the user name that ssh uses by default.
func isLocalUser(name string) bool {
	local := localUser()
	return name == local || strings.EqualFold(name, local) && strings.Contains(local, `\`) // Windows: DOMAIN\name
}

func localUser() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}
