package read

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/inventory"
)

type reader func(file string, data []byte) (*Found, error)

// readers are the readers of text by the folder of their files.
func readers() map[string]reader {
	return map[string]reader{"ipvsadm": IPVSAdm, "keepalived": keepalived, "ldirectord": Ldirectord}
}

// keepalived reads a file of which nothing is told beside it.
func keepalived(file string, data []byte) (*Found, error) { return Keepalived(file, data, Around{}) }

// Every file is read as its golden says. Those with .bad in their name have
// nothing but problems.
func TestReaders(t *testing.T) {
	for source, read := range readers() {
		for _, file := range sourceFiles(t, source) {
			t.Run(filepath.Join(source, filepath.Base(file)), func(t *testing.T) {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				found, err := read(filepath.Base(file), data)
				bad := strings.Contains(file, ".bad.")
				var problems inventory.Problems
				switch {
				case bad && (found != nil || !errors.As(err, &problems)):
					t.Fatalf("found %v, %v; want problems", found, err)
				case !bad && err != nil:
					t.Fatal(err)
				case bad:
					golden.Assert(t, err.Error()+"\n", filepath.Join(source, filepath.Base(file)+".golden"))
				default:
					checkFound(t, found)
					golden.Assert(t, dumpFound(found), filepath.Join(source, filepath.Base(file)+".golden"))
				}
			})
		}
	}
}

// No secret of the files is told.
func TestSecretsAreMasked(t *testing.T) {
	secrets := []string{"s3cr3t99", "swordfish", "letmein", "000102030405", "hunter2", "5f3a9c", "pw123", "hushhush", "abc123", "radius", "token abc"}
	for source, read := range readers() {
		for _, file := range sourceFiles(t, source) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found, err := read(file, data)
			told := fmt.Sprint(err)
			if err == nil {
				told = dumpFound(found)
			}
			for _, secret := range secrets {
				if strings.Contains(told, secret) {
					t.Errorf("%s: %q is told", file, secret)
				}
			}
		}
	}
}

// What is found of schedulers is what an inventory takes.
func TestSchedulersAreTheInventorys(t *testing.T) {
	for _, name := range append(schedulers(), "twos") {
		_, err := inventory.Parse("schedulers.yaml", fmt.Appendf(nil, `{version: 1, name: s, networks: {lan: 192.0.2.0/24}, hosts: {
  lb: {role: [director, real-server], nics: {eth0: {network: lan, address: 192.0.2.1}}}},
  services: [{vip: 192.0.2.30, port: 80, mode: dr, directors: [lb], real_servers: [lb], scheduler: %s}]}`, name))
		if known := name != "twos"; (err == nil) != known {
			t.Errorf("scheduler %s: %v, want known %v", name, err, known)
		}
	}
}

func TestLimits(t *testing.T) {
	servers := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "real_server 10.0.%d.%d 80 { }\n", i/256, i%256)
		}
		return b.String()
	}
	tests := []struct {
		name string
		read reader
		text string
		want string
	}{
		{"size", IPVSAdm, strings.Repeat("#", MaxSize+1), "f:1: the file is longer than 16 MiB; import it in parts"},
		{"binary", Ldirectord, "checktimeout=1\n\x00", "f:2: a NUL byte: this is not a text file"},
		{"depth", keepalived, "\n" + strings.Repeat("a {\n", 100), "f:33: more than 32 blocks in one another; is a } missing?"},
		{"expanded line", keepalived, "$A=" + strings.Repeat("x", 4000) + "\nb " + strings.Repeat("${A}", 20), "f:2: the definition of $A puts in itself, or too much; known here: A"},
		{"range", Ldirectord, "virtual=192.0.2.1:80\n    real=10.0.0.0->10.0.16.0:80 gate\n", "f:2: 10.0.0.0 to 10.0.16.0 is more than 4096 addresses; write a shorter range"},
		{"group", keepalived, "virtual_server_group g {\n" + strings.Repeat("10.0.0.0/20 80\n", 300) + "}", "f:258: more than 1048576 services and real servers; import the file in parts"},
		{"product", keepalived, "virtual_server_group g {\n10.9.0.0/20 80\n}\nvirtual_server group g {\nprotocol TCP\n" + servers(300) + "}", "f:4: more than 1048576 services and real servers; import the file in parts"},
		{"mistakes", Ldirectord, strings.Repeat("=\n", maxTold+9), fmt.Sprintf("f:%d: more mistakes than are listed; is this the right file?", maxTold+1)},
		{"left", keepalived, strings.Repeat("what\n", maxTold+9), fmt.Sprintf("f:%d: more that an inventory does not have than is listed; is this the right file?", maxTold+1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found, err := test.read("f", []byte(test.text))
			var problems inventory.Problems
			if found != nil || !errors.As(err, &problems) {
				t.Fatalf("found %v, %v; want problems", found, err)
			}
			if last := problems[len(problems)-1].String(); last != test.want && problems[0].String() != test.want {
				t.Errorf("%q, want %q", last, test.want)
			}
		})
	}
}

// A range of exactly as many addresses as are allowed is one.
func TestLongestRange(t *testing.T) {
	found, err := Ldirectord("f", []byte("virtual=192.0.2.1:80\n    real=10.0.0.0->10.0.15.255:80 gate\n"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(found.Services[0].RealServers); n != maxRange {
		t.Errorf("%d real servers, want %d", n, maxRange)
	}
}

// Lines may end in CR LF, and a byte order mark is no part of the first.
func TestLineEnds(t *testing.T) {
	for source, read := range readers() {
		for _, file := range sourceFiles(t, source) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tell := func(data []byte) string {
				found, err := read(file, data)
				if err != nil {
					return err.Error()
				}
				return dumpFound(found)
			}
			dos := "\ufeff" + strings.ReplaceAll(string(data), "\n", "\r\n")
			if unix, got := tell(data), tell([]byte(dos)); got != unix {
				t.Errorf("%s with CR LF: %s, want %s", file, got, unix)
			}
		}
	}
}

func FuzzIPVSAdm(f *testing.F)    { fuzzReader(f, "ipvsadm") }
func FuzzKeepalived(f *testing.F) { fuzzReader(f, "keepalived") }
func FuzzLdirectord(f *testing.F) { fuzzReader(f, "ldirectord") }

func fuzzReader(f *testing.F, source string) {
	for _, file := range sourceFiles(f, source) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	read := readers()[source]
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := read("fuzz", data)
		if err == nil {
			checkFound(t, found)
			for _, l := range found.Left {
				checkLine(t, data, l.Line, l.Text+l.Why)
			}
			return
		}
		var problems inventory.Problems
		if found != nil || !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("found %v, %#v; want problems", found, err)
		}
		for _, p := range problems {
			checkLine(t, data, p.Pos.Line, p.What+p.Fix)
		}
	})
}
