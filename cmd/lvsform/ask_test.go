package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

func TestPassphraseIsNotShown(t *testing.T) {
	screen, tty, err := pty.Open()
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = screen.Close(); _ = tty.Close() }()
	fd := int(tty.Fd())
	echoes := func() bool {
		state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return state.Lflag&unix.ECHO != 0
	}
	// As long as the terminal takes no output, the prompt is not there.
	if err := unix.IoctlSetInt(fd, unix.TCXONC, unix.TCOOFF); err != nil {
		t.Fatal(err)
	}
	type result struct {
		secret []byte
		err    error
	}
	done := make(chan result, 1)
	go func() {
		secret, err := readSecret(context.Background(), tty, "Passphrase: ")
		done <- result{secret, err}
	}()
	for end := time.Now().Add(10 * time.Second); echoes() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if echoes() {
		t.Error("the terminal still echoes, and the prompt is about to be printed")
	}
	if err := unix.IoctlSetInt(fd, unix.TCXONC, unix.TCOON); err != nil {
		t.Fatal(err)
	}
	shown := make([]byte, len("Passphrase: "))
	if _, err := io.ReadFull(screen, shown); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(screen, "correct horse\n"); err != nil {
		t.Fatal(err)
	}
	r := <-done
	if r.err != nil || string(r.secret) != "correct horse" {
		t.Errorf("%q, %v", r.secret, r.err)
	}
	if !echoes() {
		t.Error("the terminal does not echo any more")
	}
	rest := make([]byte, 64)
	n, _ := screen.Read(rest)
	if text := string(shown) + string(rest[:n]); strings.Contains(text, "horse") {
		t.Errorf("shown: %q", text)
	}

	// Interrupted, the terminal is as before.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := readSecret(ctx, tty, ""); err == nil || !echoes() {
		t.Errorf("interrupted: %v; echo: %v", err, echoes())
	}
}
