//go:build lab

package e2e

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestKeyBrowser: from nothing at all to a signed key by the browser, with the password
// in all its beauty; the second time nobody has to sign in.
func TestKeyBrowser(t *testing.T) {
	begin(t)
	k := keys(t)
	noSSH(t)
	link := xdgOpen(t)
	m := link.terminal(t, "key", "sign")
	m.expect("Enter passphrase for the new key '/home/alice/.ssh/cscs-key' \\(empty for none\\): ")
	m.send("\r")
	// Chromium has a list of its own whom to trust.
	b := chromium(t, chromedp.Flag("ignore-certificate-errors", true))
	b.do("open the link", chromedp.Navigate(link.wait(t)),
		chromedp.SendKeys(chromedp.CSS("#username"), "alice"),
		chromedp.SendKeys(chromedp.CSS("#password"), k.password()),
		chromedp.Click(chromedp.CSS("button[type=submit]")))
	page := b.textAfter("sign in", "body > p", chromedp.WaitVisible(chromedp.CSS("body > p")))
	says(t, page, "You are signed in")
	m.expect(`a new key, signed: /home/alice/\.ssh/cscs-key, certificate of alice, valid until`)
	if code := m.exit(patience); code != 0 {
		t.Fatalf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
	wellKept(t)
	s := keyStatus(t)
	if !s.Usable || !slices.Equal(s.Principals, []string{"alice"}) || s.Left < 86000 || s.Signed != 1 || !slices.Contains(s.Extensions, "permit-port-forwarding") {
		t.Errorf("status: %+v", s)
	}

	// What was remembered is the user's alone, and is enough for the next time.
	info, err := os.Stat(laptopHome(".cache/cscs/token-cscs.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v %v", info, err)
	}
	runKey(t, "sign").want(0, "still valid", "--force")
	before := s.Serial
	runKey(t, "sign", "--force").want(0, "signed", "2 of today's 5")
	if s = keyStatus(t); s.Serial == before {
		t.Error("with --force it was not signed anew")
	}
	givenHosts(t)
	toReady(t)
	listAndRevoke(t, s.Serial, before)
}

// listAndRevoke: the two that were signed are listed; what is revoked is gone from here, and
// does not count any more.
func listAndRevoke(t *testing.T, here, other string) {
	t.Helper()
	list := runKey(t, "list").want(0)
	hasKeys(t, list.out, here+" valid /home/alice/.ssh/cscs-key", other+" valid -")
	runKey(t, "revoke", "12345").want(2, "12345", "not found", "cscs key list")
	runKey(t, "revoke", here).want(0, "revoked: "+here)
	if s := keyStatus(t); s.Usable || s.Signed != 1 {
		t.Errorf("after the revocation: %+v", s)
	}
	hasKeys(t, runKey(t, "list", "--all").want(0).out, here+" revoked -", other+" valid -")
	runKey(t, "revoke", "--all").want(0, "revoked: "+other)
	runKey(t, "list").want(0, "you have no signed key")
	runKey(t, "sign").want(0, "signed")
}

// hasKeys fails the test unless each of these is a line of the list, but for the time.
func hasKeys(t *testing.T, list string, lines ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) == 7 { // serial, state, four of the time, where
			got = append(got, f[0]+" "+f[1]+" "+f[6])
		}
	}
	for _, l := range lines {
		if !slices.Contains(got, l) {
			t.Errorf("the list lacks %q:\n%s", l, list)
		}
	}
}

// TestKeyDevice: by a code that is typed on another device; and then the day's five are
// used up.
func TestKeyDevice(t *testing.T) {
	begin(t)
	k := keys(t)
	noSSH(t)
	m := terminal(t, "LANG=C.UTF-8", "key", "sign", "--headless")
	m.expect("empty for none")
	m.send("\r")
	m.expect(`sign in from any device, at https://auth\.cscs\.ch/device`)
	code := m.expect(`with the code (\S+)`)[1]
	m.expect("█▀") // a QR code
	k.approve(code)
	m.expect("a new key, signed: ")
	if code := m.exit(patience); code != 0 {
		t.Fatalf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
	wellKept(t)
	givenHosts(t)
	toReady(t)

	k.set(`{"used": 5}`)
	before := sshFiles(t)
	runKey(t, "sign", "--force").want(3, "signs no more keys", "Maximum number of active SSH keys", "cscs key revoke")
	if sshFiles(t) != before {
		t.Error("what was there is not as it was")
	}
	// The provider forgets who signed in: nobody is here to do it again.
	tell(t, "keys", "off")
	tell(t, "keys", "on")
	runKey(t, "sign", "--force").want(3, "no terminal to sign in", "--headless", "CSCS_API_KEY")
}

// TestKeyOlderService: name, password and a number on a terminal; none of it is seen, by
// whoever looks.
func TestKeyOlderService(t *testing.T) {
	begin(t)
	k := keys(t)
	noSSH(t)
	watch := watchArguments(t)
	sign := func(otp string) *term {
		m := terminal(t, "key", "sign", "--service", "sshservice")
		m.expect("Enter passphrase for the new key")
		m.send("hush hush\r")
		m.expect("The same passphrase again: ")
		m.send("hush hush\r")
		m.expect(`User name at CSCS( \[alice\])?: `)
		m.send("alice\r")
		m.expect("Password of alice: ")
		m.send(k.password() + "\r")
		m.expect(`Six-digit number \(OTP\): `)
		m.send(otp + "\r")
		return m
	}
	for _, c := range []struct {
		otp, says string
		code      int
	}{
		{"000000", "Invalid OTP", 3},
	} {
		m := sign(c.otp)
		m.expect("cscs: .*" + c.says)
		if code := m.exit(patience); code != c.code {
			t.Errorf("exit code %d for %s", code, c.otp)
		}
		if _, err := os.Stat(laptopHome(".ssh/cscs-key")); err == nil {
			t.Error("there is a key all the same")
		}
	}
	k.set(`{"used": 5}`)
	m := sign(k.otp())
	m.expect("cscs: .*signs no more keys for you today: You have reached the maximum")
	if code := m.exit(patience); code != 3 {
		t.Errorf("exit code %d", code)
	}
	k.set(`{}`)
	m = sign("12345")
	m.expect("no six-digit number: once more")
	m.expect(`Six-digit number \(OTP\): `)
	otp := k.otp()
	m.send(otp[:3] + " " + otp[3:] + "\r") // as phones show it
	m.expect("a new key, signed: ")
	if code := m.exit(patience); code != 0 {
		t.Fatalf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
	screen := m.stdout.String()
	arguments := 0
	for line := range watch() {
		if strings.Contains(line, " key sign") {
			arguments++
		}
		screen += line + "\n"
	}
	if arguments == 0 {
		t.Error("the arguments of cscs key sign were not seen: a secret among them would not be either")
	}
	for _, secret := range []string{k.password(), otp, "hush hush"} {
		if strings.Contains(screen, secret) {
			t.Errorf("%q was to be seen", secret)
		}
		for _, path := range greps(t, "alice", "laptop", strings.Fields(secret)[0], "/home/alice", "/tmp", "/run/user") {
			t.Errorf("%q is in %s", secret, path)
		}
	}
	if s := keyStatus(t); !s.Usable || !s.Encrypted {
		t.Errorf("status: %+v", s)
	}

	// The passphrase is taken away, as whoever has it may.
	m = terminal(t, "key", "passphrase")
	m.expect("Enter passphrase for key '/home/alice/.ssh/cscs-key': ")
	m.send("wrong\r")
	m.expect("That was wrong. Enter passphrase for key '/home/alice/.ssh/cscs-key': ")
	m.send("hush hush\r")
	m.expect("empty for none")
	m.send("\r")
	m.expect("has no passphrase")
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	wellKept(t)
	givenHosts(t)
	toReady(t)
}

// TestKeyAccount: a service account's program is asked nothing, and signs what it needs when
// it needs it.
func TestKeyAccount(t *testing.T) {
	begin(t)
	k := keys(t)
	noSSH(t)
	runKey(t, "CSCS_API_KEY=wrong", "sign").want(3, "Invalid API key", "env -u CSCS_API_KEY")
	runKey(t, apiKey, "sign", "--force").want(0, "a new key, signed")
	wellKept(t)
	if s := keyStatus(t); !s.Usable || s.Left > 60 || s.Signed != 0 {
		t.Errorf("status: %+v", s)
	}
	givenHosts(t)
	certificate(t, "-2h:-1h")
	n := k.asked("/sign")
	toReady(t, apiKey)
	if k.asked("/sign") == n {
		t.Error("nothing was signed")
	}
	toReady(t, apiKey) // with what there is
	certificate(t, "-2h:-1h")
	cscs(t, apiKey, "run", "--no-sign", "--", "true").failure(3, "key-expired")
}

// TestKeyImport: what the browser has saved, twice, is found, looked at, moved.
func TestKeyImport(t *testing.T) {
	begin(t)
	keys(t)
	old, oldCert := readFile(t, laptopHome(".ssh/cscs-key")), readFile(t, laptopHome(".ssh/cscs-key-cert.pub"))
	downloads := mkdir(t, laptopHome("Downloads"))
	runKey(t, "import").want(3, "no key with its certificate in /home/alice/Downloads")
	tell(t, "cert", "alice", "-2h:-1h", "--key", "/home/alice/Downloads/cscs-key")
	runKey(t, "import").want(3, "the key has expired", "/home/alice/Downloads/cscs-key-cert.pub", "cscs key sign")
	if readFile(t, laptopHome(".ssh/cscs-key")) != old || readFile(t, laptopHome(".ssh/cscs-key-cert.pub")) != oldCert {
		t.Error("what was there is not as it was")
	}
	tell(t, "cert", "alice", "+1d", "--key", "/home/alice/Downloads/new")
	for from, to := range map[string]string{"new": "cscs-key (1)", "new-cert.pub": "cscs-key-cert (1).pub"} {
		if err := os.Rename(downloads+"/"+from, downloads+"/"+to); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(downloads+"/cscs-key (1)", 0o644); err != nil { // as browsers save
		t.Fatal(err)
	}
	runKey(t, "import").want(0, "moved from /home/alice/Downloads/cscs-key (1)", "signed")
	wellKept(t)
	if readFile(t, laptopHome(".ssh/cscs-key")) == old {
		t.Error("it is still the old key")
	}
	for _, name := range []string{"/cscs-key (1)", "/cscs-key-cert (1).pub"} {
		if _, err := os.Stat(downloads + name); err == nil {
			t.Errorf("%s was not moved", name)
		}
	}
	toReady(t)
}

// TestKeyTwoAtOnce: two that sign at the same time are one signing.
func TestKeyTwoAtOnce(t *testing.T) {
	begin(t)
	k := keys(t)
	certificate(t, "-2h:-1h")
	one := terminal(t, "key", "sign", "--no-browser")
	address := one.expect(`sign in at: (https://auth\.cscs\.ch/\S+)`)[1]
	two := start(t, as(context.Background(), "alice", "laptop", lab.bin, "key", "sign"))
	if two.stderr.await(patience, func(text string) string { return lineWith(text, "waiting for it") }) == "" {
		t.Fatalf("it does not wait: %s", two.stderr)
	}
	says(t, k.signIn(address), "You are signed in")
	one.expect("signed: ")
	if code := one.exit(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if code := two.exit(patience); code != 0 {
		t.Errorf("the second: exit code %d: %s", code, two.stderr)
	}
	says(t, two.stderr.String(), "another cscs has had it signed")
	if n := k.asked("/sign"); n != 1 {
		t.Errorf("%d signings", n)
	}
	wellKept(t)
}

// TestKeyInterrupted: Ctrl-C at the browser leaves nothing, not even a port; and who
// comes back with another's state is sent away.
func TestKeyInterrupted(t *testing.T) {
	begin(t)
	k := keys(t)
	before := sshFiles(t)
	m := terminal(t, "key", "sign", "--no-browser", "--force")
	m.expect(`sign in at: https://auth`)
	says(t, k.curl("-g", "http://localhost:8765/?code=x&state=y"), "not for you")
	says(t, k.curl("-g", "http://[::1]:8765/?code=x"), "not for you")
	if out, _ := try(t, "alice", "laptop", lab.bin, "version"); out == "" {
		t.Error("another command does not work meanwhile")
	}
	m.send(ctrlC)
	if code := m.exit(patience); code != 130 {
		t.Errorf("exit code %d", code)
	}
	if sshFiles(t) != before {
		t.Error("what was there is not as it was")
	}
	wellKept(t)
	if n := k.asked("/sign"); n != 0 {
		t.Errorf("%d signings", n)
	}
	for _, c := range []struct {
		service  string
		answers  [][2]string // to the questions before it
		question string
	}{
		{"cscs", nil, "Enter passphrase for the new key"},
		{"sshservice", nil, "Enter passphrase for the new key"},
		{"sshservice", [][2]string{{"Enter passphrase for the new key", "\r"}, {"User name", "alice\r"}}, "Password of alice"},
	} {
		m = terminal(t, "key", "sign", "--no-browser", "--service", c.service, "--identity", "/home/alice/.ssh/new")
		for _, a := range c.answers {
			m.expect(a[0])
			m.send(a[1])
		}
		m.expect(c.question)
		m.send(ctrlC)
		if code := m.exit(patience); code != 130 {
			t.Errorf("%s: exit code %d\n%s", c.question, code, plain(m.stdout.String()))
		}
		wellKept(t) // and no new key
	}
	// The port is taken by somebody else.
	b := start(t, as(context.Background(), "mallory", "laptop", "python3", "-u", "-m", "http.server", "8765", "--bind", "127.0.0.1"))
	b.line("Serving")
	m = terminal(t, "key", "sign", "--no-browser", "--force")
	m.expect("cscs: .*port.*taken")
	m.expect("hint: .*--headless")
	if code := m.exit(patience); code != 3 {
		t.Errorf("exit code %d", code)
	}
}
