package plain_test

import (
	"testing"

	"github.com/lvsform/lvsform/plain"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"dr weight 1 -> 2 (é, 中)": "dr weight 1 -> 2 (é, 中)",
		"a\nb\r\tc":               `a\nb\r\tc`,
		"\x1b[2J\x1b]0;x\a\x7f":   `\x1b[2J\x1b]0;x\a\x7f`,
		"it's \"quoted\"\x00":     `it's "quoted"\x00`,
		"\u202eerised\u2028":      `\u202eerised\u2028`,
		"\xff\xc3(\ufffd":         `\xff\xc3(` + "\ufffd",
		"\u009b31m":               `\u009b31m`,
	} {
		if got := plain.Text(text); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                      "plain",
		"two\r\n lines\t":            "two lines",
		"\x1b[2Jcls \u202egnp\x9b1m": "[2Jcls gnp?1m",
		"größe":                      "größe",
	} {
		if got := plain.Words(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		text          string
		width, column int
		want          string
	}{
		{"one two three", 0, 4, "one two three"},
		{"one two three", 17, 4, "one two three"},
		{"one two three", 16, 4, "one two\n  three"},
		{"one two three", 8, 4, "one\n  two\n  three"},
		{"one  two", 5, 0, "one\n  two"},
		{"averylongword another", 6, 2, "averylongword\n  another"},
		{"größe größe", 9, 0, "größe\n  größe"},
		{"one two\n    | three four", 12, 3, "one two\n    | three\n  four"},
		{"", 4, 2, ""},
	} {
		if got := plain.Wrap(test.text, test.width, test.column, "  "); got != test.want {
			t.Errorf("%q from %d to %d: %q, want %q", test.text, test.column, test.width, got, test.want)
		}
	}
}
