package chain

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

var errWrongCode = errors.New("wrong code")

// secondFactor asks for a code on the servers of the hops from the first to the last, after the key.
func secondFactor(code string) func(int, *sshtest.Config) {
	return func(i int, c *sshtest.Config) {
		if i != 0 {
			return
		}
		c.SecondFactor = func(_ string, ask ssh.KeyboardInteractiveChallenge) error {
			answers, err := ask("A\x1b[2Jname", "first\nsecond\x1b]0;x\x07", []string{"Code\x1b[31m: ", "Again: "}, []bool{false, true})
			switch {
			case err != nil:
				return err
			case len(answers) != 2 || answers[0] != code || answers[1] != "seen":
				return errWrongCode
			}
			_, err = ask("", "welcome", nil, nil)
			return err
		}
	}
}

// TestSecondFactor: after the key, a hop's questions are answered with its prompts and echo flags.
// What the hop sends cannot move the cursor.
func TestSecondFactor(t *testing.T) {
	w := newWay(t, 2, secondFactor("123456"))
	var asked []Challenge
	c, err := Dial(t.Context(), w.hops, Options{Challenge: func(_ context.Context, c Challenge) ([]string, error) {
		asked = append(asked, c)
		return []string{"123456", "seen"}[:len(c.Prompts)], nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := []Challenge{
		{Hop: w.hops[0].Name, User: w.hops[0].User, Name: "A [2Jname", Instruction: "first\nsecond ]0;x",
			Prompts: []Prompt{{Text: "Code [31m:"}, {Text: "Again:", Echo: true}}},
		{Hop: w.hops[0].Name, User: w.hops[0].User, Instruction: "welcome"},
	}
	if d := cmp.Diff(want, asked); d != "" {
		t.Error(d)
	}
}

// TestSecondFactorRefused: a wrong answer is asked for again, three times in all, as by ssh.
func TestSecondFactorRefused(t *testing.T) {
	w := newWay(t, 1, secondFactor("123456"))
	asked := 0
	e := fails[*AuthError](t, w, Options{Challenge: func(context.Context, Challenge) ([]string, error) {
		asked++
		return []string{"0", "seen"}, nil
	}})
	if asked != 3 || !e.Partial || !e.Answered {
		t.Errorf("asked %d times, %+v", asked, e)
	}
}

// TestSecondFactorUnanswered: without a terminal nothing is sent but the key; an error of the user's
// terminal ends the dial.
func TestSecondFactorUnanswered(t *testing.T) {
	w := newWay(t, 1, secondFactor("123456"))
	if e := fails[*AuthError](t, w, Options{}); !e.Partial || e.Answered || !e.NeedsAnswer() {
		t.Errorf("%+v", e)
	}
	gone := errors.New("the terminal is gone")
	if e := fails[*AuthError](t, w, Options{Challenge: func(context.Context, Challenge) ([]string, error) { return nil, gone }}); !errors.Is(e, gone) || e.Answered {
		t.Errorf("%+v", e)
	}
}

// TestSecondFactorAlone: a server that refuses the key and asks for a password gets no answer.
func TestSecondFactorAlone(t *testing.T) {
	w := newWay(t, 1, func(_ int, c *sshtest.Config) {
		c.UserCA, c.Keys, c.Anyone = nil, nil, false
		c.Interactive = func(_ string, ask ssh.KeyboardInteractiveChallenge) error {
			_, err := ask("", "", []string{"Password: "}, []bool{false})
			return err
		}
	})
	e := fails[*AuthError](t, w, Options{Challenge: func(context.Context, Challenge) ([]string, error) {
		t.Error("asked")
		return []string{"secret"}, nil
	}})
	if e.Partial || e.Accepted {
		t.Errorf("%+v", e)
	}
}

// TestSecondFactorCancelled: the question ends with the context.
func TestSecondFactorCancelled(t *testing.T) {
	w := newWay(t, 1, secondFactor("123456"))
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	_, err := Dial(ctx, w.hops, Options{Challenge: func(ctx context.Context, _ Challenge) ([]string, error) {
		cancel(stop)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}})
	if !errors.Is(err, stop) || errors.As(err, new(*AuthError)) {
		t.Error(err)
	}
	w.emptied(t)
}

// TestSecondFactorByPush: a hop that sends a request to the user's telephone asks nothing (no prompts, RFC
// 4256 section 3.2), and then waits for as long as a person takes. That needs no terminal.
func TestSecondFactorByPush(t *testing.T) {
	for name, tt := range map[string]struct {
		opts   Options
		takes  time.Duration
		passes bool
	}{
		"without a terminal":   {Options{}, 90 * time.Second, true},
		"on a terminal":        {Options{Challenge: func(context.Context, Challenge) ([]string, error) { return nil, nil }}, 90 * time.Second, true},
		"which is not allowed": {Options{}, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key := sshtest.NewKey(t)
				ended := make(chan struct{})
				s := sshtest.New(t, sshtest.Config{Keys: []ssh.PublicKey{key.PublicKey()}, SecondFactor: func(_ string, ask ssh.KeyboardInteractiveChallenge) error {
					if _, err := ask("", "Pushed a login request to your device", nil, nil); err != nil {
						return err
					}
					timer := time.NewTimer(tt.takes)
					defer timer.Stop()
					select {
					case <-timer.C:
						return nil
					case <-ended:
						return errWrongCode
					}
				}})
				defer close(ended)
				hop := Hop{Name: "ela", Addr: "ela:22", User: "alice", Signer: key, HostKeys: PinnedKeys(s.HostKey())}
				tt.opts.NetDial = inMemory(t, s)
				began := time.Now()
				c, err := Dial(t.Context(), []Hop{hop}, tt.opts)
				switch {
				case tt.passes && err != nil:
					t.Fatal(err)
				case tt.passes:
					_ = c.Close()
				default:
					var late *DialError
					if !errors.As(err, &late) || !late.Timeout() || time.Since(began) > 5*time.Minute {
						t.Errorf("after %v: %v", time.Since(began), err)
					}
				}
			})
		})
	}
}
