package testenv

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/lvsform/lvsform/inventory"
)

// workstationSpec is what makes a host the workstation.
type workstationSpec struct {
	Path  string            // PATH
	Files map[string][]byte // absolute name: content; private to root
}

const standardPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// newWorkstation prepares everything lvsform and the stock OpenSSH client look
// for, so that both reach every host by its name.
func newWorkstation(inv *inventory.Inventory, mgmt *management, a *access, bin string, o Options) *workstationSpec {
	w := &workstationSpec{Path: bin + ":" + standardPath, Files: map[string][]byte{}}
	if o.Path != "" {
		w.Path = bin + ":" + o.Path + ":" + standardPath
	}
	key := filepath.Join(Home, ".ssh/id_ed25519")
	known := filepath.Join(Home, ".ssh/known_hosts")
	w.Files[key] = a.private
	if o.File != nil {
		w.Files[filepath.Join(Work, "lvsform.yaml")] = o.File
	}
	var config, hosts bytes.Buffer
	for _, h := range inv.Hosts {
		address := mgmt.byHost[h.Name]
		fmt.Fprintf(&config, "Host %s\n    HostName %s\n    Port %d\n    User root\n    IdentityFile %s\n    UserKnownHostsFile %s\n",
			strings.Join(aliases(h), " "), address, sshPort, key, known)
		var names []string
		for _, name := range append(aliases(h), address.String()) {
			for _, port := range sshPorts(h) {
				names = append(names, knownhosts.Normalize(net.JoinHostPort(name, strconv.Itoa(int(port)))))
			}
		}
		fmt.Fprintln(&hosts, knownhosts.Line(names, a.hostKeys[h.Name]))
		if file := keyFile(h.SSH.Key); file != "" {
			w.Files[file] = a.private
		}
	}
	w.Files[filepath.Join(Home, ".ssh/config")] = config.Bytes()
	w.Files[known] = hosts.Bytes()
	return w
}

// aliases are the names by which the inventory reaches a host: its own, and
// ssh.address, which names no place inside the lab's management network.
func aliases(h *inventory.Host) []string {
	if a := h.SSH.Address; a != "" && a != h.Name {
		return []string{h.Name, a}
	}
	return []string{h.Name}
}

// keyFile is where the inventory's ssh.key is at the workstation; the lab's
// key takes its place.
func keyFile(key string) string {
	switch {
	case key == "":
		return ""
	case strings.HasPrefix(key, "~/"):
		return filepath.Join(Home, key[2:])
	case filepath.IsAbs(key):
		return filepath.Clean(key)
	default:
		return filepath.Join(Work, key)
	}
}

// etcHosts is a host's /etc/hosts. The workstation reaches the hosts over the
// management network, they reach one another over the inventory's networks.
func etcHosts(s *spec, workstation bool, mgmt *management) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, h := range s.Hosts {
		var addrs []netip.Addr
		if !workstation {
			for _, n := range h.NICs {
				if n.Name != managementNIC {
					for _, p := range n.Addresses {
						addrs = append(addrs, p.Addr())
					}
				}
			}
		}
		if len(addrs) == 0 {
			addrs = append(addrs, mgmt.byHost[h.Name])
		}
		for _, a := range addrs {
			fmt.Fprintf(&b, "%s\t%s\n", a, h.Name)
		}
	}
	return b.String()
}

// setUp writes the workstation's files, inside its own root.
func (w *workstationSpec) setUp() error {
	names := make([]string, 0, len(w.Files))
	for name := range w.Files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, dir := range []string{Home, Work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(name, w.Files[name], 0o600); err != nil {
			return err
		}
	}
	return w.setHome()
}

// setHome writes root's home into passwd(5): the OpenSSH client reads its
// configuration from there, whatever HOME says.
func (w *workstationSpec) setHome() error {
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	lines := strings.Split(string(passwd), "\n")
	for i, line := range lines {
		if fields := strings.Split(line, ":"); len(fields) == 7 && fields[2] == "0" {
			fields[5] = Home
			lines[i] = strings.Join(fields, ":")
		}
	}
	return os.WriteFile("/etc/passwd", []byte(strings.Join(lines, "\n")), 0o644)
}

// environment is what every session at the workstation begins with.
func (w *workstationSpec) environment() []string {
	return []string{"HOME=" + Home, "PATH=" + w.Path, "LVSFORM_LAB=1"}
}
