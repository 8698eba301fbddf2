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
