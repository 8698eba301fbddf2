package plan_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// A saved plan that does not fit is refused host by host, as data and as text.
func TestStaleHosts(t *testing.T) {
	inv := load(t, tutorial)
	before := ready(inv)
	saved, err := plan.Save(inv, plan.Make(inv, before), before)
	if err != nil {
		t.Fatal(err)
	}
	if err := saved.Unchanged(inv, before); err != nil {
		t.Errorf("nothing moved, and it is %v", err)
	}

	now := maps.Clone(before)
	lb := now["lb"]
	lb.State = maps.Clone(lb.State)
	lb.State.Put(state.Service{ServiceID: other, Scheduler: "wlc", PersistenceBits: 32})
	lb.State.Put(state.Link{Name: "ens33", MAC: "02:00:00:00:00:01", MTU: 1400, Up: true})
	now["lb"] = lb
	stale := func(err error) (hosts []string, kind fault.Kind, text string) {
		t.Helper()
		var e *plan.StaleError
		if !errors.As(err, &e) {
			t.Fatalf("%T %v is no StaleError", err, err)
		}
		for _, h := range e.Hosts {
			hosts = append(hosts, fmt.Sprintf("%s, %s: %s", h.Host, h.Fault().Kind, h.Fault().Message))
		}
		return hosts, fault.Of(err), err.Error()
	}

	const moves = "lb, stale: link ens33 up mtu 1500 address 02:00:00:00:00:01 is now up mtu 1400 address 02:00:00:00:00:01; service tcp 192.168.91.30:443 wlc was absent and is there now"
	now["web1"] = plan.Observation{Err: fault.New(fault.Permission, "login as root:\nrefused")}
	hosts, kind, text := stale(saved.Unchanged(inv, now))
	want := []string{moves, "web1, permission: login as root:\nrefused"}
	if diff := cmp.Diff(want, hosts); diff != "" || kind != fault.Permission {
		t.Errorf("is %s (-want +got):\n%s", kind, diff)
	}
	if diff := cmp.Diff(`the hosts are not as they were when the plan was made; nothing was changed:
  lb: link ens33 up mtu 1500 address 02:00:00:00:00:01 is now up mtu 1400 address 02:00:00:00:00:01
  lb: service tcp 192.168.91.30:443 wlc was absent and is there now
  web1: login as root:
    | refused
plan again, look at what is different, and apply that`, text); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	now["web1"] = before["web1"]
	if hosts, kind, _ := stale(saved.Unchanged(inv, now)); kind != fault.Stale || len(hosts) != 1 || hosts[0] != moves {
		t.Errorf("is %s: %q", kind, hosts)
	}
}
