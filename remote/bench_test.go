package remote

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/lvsform/lvsform/journal"
)

// benchHosts is how many hosts, all of them one sshd, are reached in one run.
const benchHosts = 16

func benchTargets(s *server) []journal.Member {
	targets := make([]journal.Member, benchHosts)
	for i := range targets {
		targets[i] = s.target(fmt.Sprintf("host%d", i))
	}
	return targets
}

// clientCPU reports the processor time a host takes on this side.
func clientCPU(b *testing.B) func() {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := used()
	return func() {
		b.ReportMetric(float64((used()-start).Microseconds())/float64(b.N*benchHosts), "µs-CPU/host")
	}
}

// BenchmarkConnectTrue is the floor: connect, log in, run `true`.
func BenchmarkConnectTrue(b *testing.B) {
	s := startServer(b)
	report := clientCPU(b)
	for b.Loop() {
		r, err := newRun(s.options())
		if err != nil {
			b.Fatal(err)
		}
		targets := benchTargets(s)
		bounded(len(targets), defaultParallel, func(i int) {
			way, err := r.route(context.Background(), targets[i])
			if err != nil {
				b.Error(err)
				return
			}
			l, err := r.follow(context.Background(), way)
			if err != nil {
				b.Error(err)
				return
			}
			defer l.close()
			p, err := l.exec("true")
			if err != nil {
				b.Error(err)
				return
			}
			<-p.ended
		})
		r.close()
	}
	report()
}

// BenchmarkWarmStart is a fleet that has the agent, and one call to each host.
func BenchmarkWarmStart(b *testing.B) {
	s := startServer(b)
	s.connect(s.target("first"), s.options())
	report := clientCPU(b)
	for b.Loop() {
		f := Dial(context.Background(), benchTargets(s), s.options())
		if err := echoAll(f); err != nil {
			b.Fatal(err)
		}
		_ = f.Close()
	}
	report()
}

// BenchmarkFirstContact is a fleet that has to be given the agent. Each host is
// an sshd with a file system of its own.
func BenchmarkFirstContact(b *testing.B) {
	shared := b.TempDir()
	var targets []journal.Member
	var servers []*server
	known := ""
	for i := range benchHosts {
		s := startServerOver(b, shared)
		servers = append(servers, s)
		targets = append(targets, s.target(fmt.Sprintf("host%d", i)))
		known += s.read("known_hosts")
	}
	o := servers[0].options()
	o.AgentDir = shared + "/agent"
	servers[0].write("known_hosts", known, 0o600)
	for b.Loop() {
		f := Dial(context.Background(), targets, o)
		if err := echoAll(f); err != nil {
			b.Fatal(err)
		}
		_ = f.Close()
		for _, s := range servers {
			if err := os.RemoveAll(s.path("home", "agent")); err != nil {
				b.Fatal(err)
			}
		}
	}
}
