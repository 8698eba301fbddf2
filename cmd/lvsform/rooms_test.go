package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// room is where constants may be told apart. Everybody else asks for the
// property that matters, so that a new constant needs no edit elsewhere.
type room struct {
	pkg, prefix string
	ask         string            // what to do instead
	folders     []string          // those below them, too
	files       map[string]string // and single files, with the reason
}

func rooms() []room {
	return []room{
		{
			pkg: "state", prefix: "Kind", ask: "a property of its row in state/kinds.go",
			folders: []string{"state", "kernel"},
			files:   map[string]string{"plan/wave.go": "the order across hosts depends on roles, which state does not know; a test walks the kinds"},
		},
		{
			pkg: "inventory", prefix: "Mode", ask: "modes.TraitsOf",
			folders: []string{"inventory", "modes", "importer"},
		},
	}
}

// Kinds of state and modes are told apart in their own rooms alone.
func TestConstantsStayInTheirRooms(t *testing.T) {
	const root = "../.."
	used := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+"/"))
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, r := range rooms() {
			for _, at := range r.toldApart(file) {
				switch {
				case r.files[name] != "":
					used[name] = true
				case !slices.ContainsFunc(r.folders, func(f string) bool { return strings.HasPrefix(name, f+"/") }):
					t.Errorf("%s:%d tells constants %s.%s... apart; ask for %s", name, files.Position(at).Line, r.pkg, r.prefix, r.ask)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rooms() {
		for name := range r.files {
			if !used[name] {
				t.Errorf("%s need not be listed for %s.%s...", name, r.pkg, r.prefix)
			}
		}
	}
}

// toldApart finds where a file compares with such a constant, switches on it, or
// has it as a key of a table.
func (r room) toldApart(file *ast.File) []token.Pos {
	var out []token.Pos
	note := func(expressions ...ast.Expr) {
		for _, e := range expressions {
			s, ok := e.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(s.Sel.Name, r.prefix) {
				continue
			}
			if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == r.pkg {
				out = append(out, s.Pos())
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op == token.EQL || n.Op == token.NEQ {
				note(n.X, n.Y)
			}
		case *ast.CaseClause:
			note(n.List...)
		case *ast.KeyValueExpr:
			note(n.Key)
		}
		return true
	})
	return out
}

func TestToldApart(t *testing.T) {
	const text = `package p
func f(k state.Kind) bool {
	switch k {
	case state.KindUp, state.KindLink:
	case "x":
	}
	_ = map[state.Kind]int{state.KindUp: 1}
	_ = []state.Kind{state.KindUp}
	_ = ID{Kind: state.KindUp}
	return k == state.KindUp || state.KindUp != k || state.Kinds() == nil || other.KindUp == k
}`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := len((room{pkg: "state", prefix: "Kind"}).toldApart(file)); got != 5 {
		t.Errorf("%d places, want 5", got)
	}
}
