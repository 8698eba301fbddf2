package remote

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/plain"
)

const (
	defaultStartLimit = 30 * time.Second // sudo may ask a slow directory service
	maxNoise          = 64 << 10         // bytes a host may print before the agent speaks
)

// The scripts are constants but for DIR and HASH, which checkAgentDir and
// hashFile vouch for. They stand between single quotes on one line, and so hold
// no single quote, backslash, exclamation mark or line end: every login shell,
// csh and fish too, hands them to sh as they are.
//
// startScript is all that a warm start runs. It goes into the directory before
// it looks at it and at the file: nobody can then exchange them unseen, whoever
// may write to a directory above. `ls -ldn` of both is one process; its first
// line is the directory's (mode, links, owner, ...: nine words), the second the
// file's. A `+` or `.` behind the mode is an access list or a security context.
const startScript = `PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export PATH; ` +
	`absent() { echo ` + marker + ` why=$1 uid="$(id -u)" machine="$(uname -m)" gzip="$(command -v gzip)"; exit 0; }; ` +
	`[ -L DIR ] && absent unsafe-directory; ` +
	`cd -P DIR 2>/dev/null || absent missing; ` +
	`set -- $(LC_ALL=C ls -ldn . HASH 2>/dev/null); ` +
	`case $1,$3 in drwx------*,0) ;; ,) absent no-ls;; *) absent unsafe-directory;; esac; ` +
	`case ${10},${12} in ,) absent missing;; -rwx------*,0) exec ./HASH agent;; esac; ` +
	`absent unsafe-file`

// pushScript stores what it reads. Others may push at the same time: each has a
// file of its own, named for its process, and takes away those whose process is
// gone. The newest eight agents stay, and this one does: the clock may have been
// ahead when others were stored.
const pushScript = `umask 077; mkdir -p DIR && cd -P DIR || exit 1; ` +
	`set -- $(LC_ALL=C ls -ldn .); ` +
	`case $1,$3 in drwx------*,0) ;; ,) echo ls says nothing of DIR >&2; exit 1;; *) echo DIR belongs to others too >&2; exit 1;; esac; ` +
	`for t in .push.*; do kill -0 "${t##*.}" 2>/dev/null || rm -f "$t"; done; ` +
	`t=.push.$$; trap "rm -f $t" EXIT; trap "exit 1" HUP INT TERM; ` +
	`UNPACK >$t || exit 1; ` +
	`set -- $(sha256sum $t); ` +
	`case $1 in HASH) ;; "") echo sha256sum says nothing >&2; exit 1;; *) echo the agent did not arrive whole >&2; exit 1;; esac; ` +
	`chmod 700 $t && { sync $t 2>/dev/null || sync; } && mv -f $t HASH || exit 1; ` +
	`for t in *; do [ "$t" -nt HASH ] && touch -r HASH "$t"; done; ` +
	`ls -t | tail -n +9 | while read -r t; do case $t in HASH) ;; *) rm -f "$t";; esac; done`

// marker begins the line by which startScript says that it starts nothing.
const marker = "lvsform-start"

// checkAgentDir admits directories that need no quoting anywhere.
func checkAgentDir(dir string) error {
	if !regexp.MustCompile(`^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$`).MatchString(dir) || path.Clean(dir) != dir {
		return fmt.Errorf("agent directory %q: must be an absolute path of letters, digits, dots, dashes and underscores", dir)
	}
	return nil
}

// command wraps a script for the login shell.
func (r *run) command(e *endpoint, script string, b *binary, unpack string) string {
	c := "sh -c '" + strings.NewReplacer("DIR", r.opts.AgentDir, "HASH", b.hash, "UNPACK", unpack).Replace(script) + "'"
	if e.sudo {
		c = "sudo -n -- " + c
	}
	return c
}

// startAgent starts the agent, and pushes it first if it is not there.
func (r *run) startAgent(ctx context.Context, l *link) (*Host, error) {
	name := l.endpoint.name
	arch := runtime.GOARCH // most hosts are like this one; those that are not say so
	for pushed := false; ; {
		b, err := r.binaries.get(arch)
		if err != nil {
			return nil, &Error{name, StepPush, err}
		}
		r.opts.Progress(name, string(StepStart))
		p, absent, err := r.launch(ctx, l, b)
		if err != nil {
			return nil, &Error{name, StepStart, err}
		}
		if absent == nil {
			stream := struct {
				io.Reader
				io.Writer
				io.Closer
			}{p.out, p.in, closer(l.close)}
			return &Host{link: l, agent: p, wire: wire.NewClient(stream)}, nil
		}
		if err := absent.check(l.endpoint, r.opts.AgentDir); err != nil {
			return nil, &Error{name, StepStart, err}
		}
		theirs, err := goArch(absent.machine)
		if err != nil {
			return nil, &Error{name, StepPush, err}
		}
		if theirs != arch {
			arch = theirs
			continue
		}
		if pushed {
			return nil, &Error{name, StepPush, errors.New("the agent was stored, and is gone again")}
		}
		r.opts.Progress(name, string(StepPush))
		if err := r.push(ctx, l, b, absent.gzip); err != nil {
			return nil, &Error{name, StepPush, err}
		}
		pushed = true
	}
}

// launch runs startScript. It returns the agent once it has said hello, or what
// the script said instead.
func (r *run) launch(ctx context.Context, l *link, b *binary) (*process, *absence, error) {
	var p *process
	var absent *absence
	var noise text
	err := l.within(ctx, r.opts.startLimit, func() error {
		var err error
		if p, err = l.exec(r.command(l.endpoint, startScript, b, "")); err != nil {
			return err
		}
		out := bufio.NewReader(p.out)
		p.out = out
		if absent, err = greeting(out, &noise); err == nil && absent == nil {
			return nil
		}
		if absent != nil || errors.Is(err, io.EOF) {
			// To its end: a server may allow no second session beside it.
			_ = p.in.Close()
			_, _ = io.Copy(io.Discard, out)
			<-p.ended
		}
		switch {
		case absent != nil:
			absent.stderr = p.stderr.String()
			return nil
		case errors.Is(err, io.EOF):
			return r.notStarted(l.endpoint, p, noise.String())
		}
		return err
	})
	var late *lateError
	if errors.As(err, &late) && p != nil {
		err = late.after(noise.String(), p.stderr.String())
	}
	return p, absent, err
}

// greeting reads up to the agent's hello or the script's marker. Lines before
// that are what start-up files of shells print.
func greeting(out *bufio.Reader, noise io.Writer) (*absence, error) {
	for read := 0; read <= maxNoise; {
		line, err := out.ReadSlice('\n')
		read += len(line)
		// At the end of a line: what was printed before may lack a line end.
		if bytes.HasSuffix(line, []byte(wire.Hello)) {
			return nil, nil
		}
		if _, after, ok := bytes.Cut(line, []byte(marker+" ")); ok && err == nil {
			return parseAbsence(string(after)), nil
		}
		_, _ = noise.Write(line)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the host prints more than %d kB before the agent speaks: see the start-up files of its login shell", maxNoise>>10)
}

// notStarted explains why there is no agent although the script was run.
func (r *run) notStarted(e *endpoint, p *process, noise string) error {
	text := "the agent did not speak: " + p.end()
	if noise != "" {
		text += "; the host printed: " + noise
	}
	kind := fault.Connection
	hint := func(k fault.Kind, format string, args ...any) {
		kind = k
		text += "; " + fmt.Sprintf(format, args...)
	}
	said := noise + " " + p.stderr.String()
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(said, w) })
	}
	switch {
	case p.status == nil && noise == "":
		text += fmt.Sprintf("; if its file is damaged, remove %s on the host: the agent is pushed again then", r.opts.AgentDir)
	case e.sudo && says("password is required"):
		hint(fault.Permission, "let %s run sudo without a password (NOPASSWD in sudoers)", e.user)
	case e.sudo && says("must have a tty"):
		hint(fault.Permission, "let %s run sudo without a terminal (Defaults:%[1]s !requiretty in sudoers)", e.user)
	case e.sudo && says("not in the sudoers", "not allowed to", "may not run sudo"):
		hint(fault.Permission, "let %s run everything with sudo (ALL in sudoers): lvsform runs sh", e.user)
	case e.sudo && p.exitStatus() == 127:
		hint(fault.Unsupported, "is sudo installed on the host, and in the PATH of a login without a terminal? root needs no sudo")
	case p.exitStatus() == 126 && says("Permission denied"):
		// The file was there, root's, and had its x bit: the script looked.
		hint(fault.Permission, "%s", noExec(e, r.opts.AgentDir))
	case p.exitStatus() == 126 && says("Exec format error", "cannot execute"):
		hint(fault.Unsupported, "its file is not for this host's processor, or damaged: remove %s on the host, and the agent is pushed again", r.opts.AgentDir)
	}
	return fault.New(kind, "%s", text)
}

// noExec says what keeps root from running a file that has its x bit.
func noExec(e *endpoint, dir string) string {
	why := fmt.Sprintf("is %s on a file system mounted noexec, or does a security module forbid it?", dir)
	if e.sudo {
		why = fmt.Sprintf("does sudo run programs with NOEXEC (sudoers), or %s", why)
	}
	return why
}

// absence is what the start script says when there is no agent to start.
type absence struct {
	why     string
	uid     string
	machine string // uname -m
	gzip    bool
	stderr  string // what the host said besides
}

func parseAbsence(line string) *absence {
	said := map[string]string{}
	for _, word := range strings.Fields(plain.Words(line)) {
		if name, value, ok := strings.Cut(word, "="); ok {
			said[name] = value
		}
	}
	return &absence{why: said["why"], uid: said["uid"], machine: said["machine"], gzip: said["gzip"] != ""}
}

// check returns an error unless pushing the agent helps.
func (a *absence) check(e *endpoint, dir string) error {
	switch {
	case a.uid == "" && strings.Contains(a.stderr, "Permission denied"):
		return fault.New(fault.Permission, "the host runs sh, and nothing that sh starts: %s; %s", a.stderr, noExec(e, dir))
	case a.uid == "":
		return fault.New(fault.Unsupported, "the host does not say which user this is: its program id prints nothing; is it there, in the PATH of a login without a terminal?")
	case a.uid != "0" && e.sudo:
		return fault.New(fault.Permission, "sudo as %s does not lead to root (user id %s)", e.user, a.uid)
	case a.uid != "0":
		return fault.New(fault.Permission, "%s is not root (user id %s): log in as root, or say sudo: true", e.user, a.uid)
	case a.why == "missing":
		return nil
	case a.why == "no-ls":
		return fault.New(fault.Unsupported, "the host does not say what %s is: its program ls prints nothing; is it there, in the PATH of a login without a terminal?", dir)
	case a.why == "unsafe-directory":
		return fault.New(fault.Permission, "%s on the host is not root's alone (a directory of root with mode 0700, no link): find out who made it, then remove it", dir)
	}
	return fault.New(fault.Permission, "the agent in %s on the host is not root's alone (a file of root with mode 0700, no link): find out who made it, then remove it", dir)
}

// slowestPush is the least number of bytes a second an agent is pushed with.
const slowestPush = 32 << 10

// push stores the agent on the host.
func (r *run) push(ctx context.Context, l *link, b *binary, gzip bool) error {
	content, unpack, err := b.content(gzip)
	if err != nil {
		return err
	}
	limit := r.opts.startLimit + time.Duration(len(content)/slowestPush)*time.Second
	var p *process
	var printed text
	err = l.within(ctx, limit, func() error {
		var err error
		if p, err = l.exec(r.command(l.endpoint, pushScript, b, unpack)); err != nil {
			return err
		}
		_, sendErr := p.in.Write(content)
		_ = p.in.Close()
		_, _ = io.Copy(&printed, p.out)
		<-p.ended
		if p.status != nil {
			return fmt.Errorf("%s %s", p.end(), printed.String())
		}
		return sendErr
	})
	var late *lateError
	if errors.As(err, &late) && p != nil {
		err = late.after(printed.String(), p.stderr.String())
	}
	return err
}

type closer func()

func (c closer) Close() error { c(); return nil }
