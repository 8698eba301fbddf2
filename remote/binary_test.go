package remote

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// machines are words of uname -m, of which every one has an agent.
var machines = []string{
	"x86_64", "aarch64", "armv6l", "armv7l", "armv8l", "i386", "i486", "i586", "i686",
	"loongarch64", "ppc64le", "riscv64", "s390x",
}

// An architecture that a host may have is one that make agents builds for.
func TestAgentsAreMade(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ARCHS *:= (.*)$`).FindStringSubmatch(string(makefile))
	if line == nil {
		t.Fatal("the Makefile has no ARCHS")
	}
	made := strings.Fields(line[1])
	served := map[string]bool{}
	for _, m := range machines {
		arch, err := goArch(m)
		if err != nil || !slices.Contains(made, arch) {
			t.Errorf("%s is %q, %v, and make agents builds for %v", m, arch, err, made)
		}
		served[arch] = true
	}
	for _, arch := range made {
		if !served[arch] {
			t.Errorf("make agents builds for %s, and no machine is that", arch)
		}
	}
}

// The program compiles where an int has 32 bits. The others differ in nothing
// that the compiler looks at.
func TestBuildFor32Bits(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the standard library for another architecture; -short was given")
	}
	c := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, "./cmd/lvsform")
	c.Dir = ".."
	c.Env = append(os.Environ(), "GOOS=linux", "GOARCH=386", "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("GOARCH=386: %v\n%s", err, out)
	}
}
