package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Tagged carries an Item through JSON: the item's fields in an object that
// begins with "kind". A nil item is null.
type Tagged struct{ Item }

// MarshalJSON implements json.Marshaler.
func (t Tagged) MarshalJSON() ([]byte, error) {
	if t.Item == nil {
		return []byte("null"), nil
	}
	kind, err := json.Marshal(t.Kind())
	if err != nil {
		return nil, err
	}
	fields, err := json.Marshal(t.Item)
	if err != nil {
		return nil, err
	}
	out := append([]byte(`{"kind":`), kind...)
	if len(fields) > len("{}") {
		out = append(out, ',')
	}
	return append(out, fields[1:]...), nil
}

// UnmarshalJSON implements json.Unmarshaler. A kind it does not know and a
// field the kind does not have are errors.
func (t *Tagged) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		t.Item = nil
		return nil
	}
	kind, fields, err := cutKind(data)
	if err == nil {
		t.Item, err = decodeKind(kind, fields)
	}
	return err
}

// cutKind takes the kind out of an item's fields. What MarshalJSON wrote begins
// with it, and a director has many items: that is the short way.
func cutKind(data []byte) (Kind, []byte, error) {
	if rest, ok := bytes.CutPrefix(data, []byte(`{"kind":"`)); ok {
		name, rest, _ := bytes.Cut(rest, []byte{'"'})
		if Kind(name).rank() >= 0 && len(rest) != 0 {
			switch rest[0] {
			case ',':
				return Kind(name), append([]byte{'{'}, rest[1:]...), nil
			case '}':
				return Kind(name), append([]byte{'{'}, rest...), nil
			}
		}
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &fields); err != nil {
		return "", nil, err
	}
	var kind Kind
	if err := json.Unmarshal(fields["kind"], &kind); err != nil {
		return "", nil, errors.New("item without a kind")
	}
	delete(fields, "kind")
	rest, err := json.Marshal(fields)
	return kind, rest, err
}

func decodeKind(kind Kind, data []byte) (Item, error) {
	read := kind.Traits().decode
	if read == nil {
		return nil, fmt.Errorf("unknown kind of item %q", kind)
	}
	return read(data)
}

// MarshalJSON writes the items as an array in the order of Items.
func (h Host) MarshalJSON() ([]byte, error) {
	list := make([]Tagged, 0, len(h))
	for _, i := range h.Items() {
		list = append(list, Tagged{i})
	}
	return json.Marshal(list)
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *Host) UnmarshalJSON(data []byte) error {
	var list []Tagged
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*h = make(Host, len(list))
	for _, t := range list {
		if t.Item == nil {
			return errors.New("null in a list of items")
		}
		h.Put(t.Item)
	}
	return nil
}

type changeJSON struct {
	Before Tagged `json:"before"`
	After  Tagged `json:"after"`
}

// MarshalJSON implements json.Marshaler.
func (c Change) MarshalJSON() ([]byte, error) {
	return json.Marshal(changeJSON{Tagged{c.Before}, Tagged{c.After}})
}

// UnmarshalJSON implements json.Unmarshaler. A change of nothing, or from one
// thing to another, is an error.
func (c *Change) UnmarshalJSON(data []byte) error {
	var j changeJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	if j.Before.Item == nil && j.After.Item == nil {
		return errors.New("change without before and after")
	}
	*c = Change{j.Before.Item, j.After.Item}
	if c.Before != nil && c.After != nil && IDOf(c.Before) != IDOf(c.After) {
		return fmt.Errorf("change from %s to %s", IDOf(c.Before), IDOf(c.After))
	}
	return nil
}
