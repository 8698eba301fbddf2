package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// module is the path that the project's packages begin with.
const module = "github.com/lvsform/lvsform/"

// source is what the comments of the project's packages say, and their
// constants: what reflection does not know.
type source struct {
	t        *testing.T
	packages map[string]*sourcePackage // by import path
}

type sourcePackage struct {
	comments map[string]string     // of Type and Type.Field
	words    map[string][]constant // of a type of strings
}

// constant is one of a type's words, and what it means.
type constant struct{ word, comment string }

func newSource(t *testing.T) *source {
	return &source{t, map[string]*sourcePackage{}}
}

// comment returns that of a type, or of its field.
func (s *source) comment(of reflect.Type, field string) string {
	name := of.Name()
	if field != "" {
		name += "." + field
	}
	return s.read(of.PkgPath()).comments[name]
}

// words returns the constants of a type, in their order.
func (s *source) words(of reflect.Type) []constant { return s.read(of.PkgPath()).words[of.Name()] }

func (s *source) read(path string) *sourcePackage {
	s.t.Helper()
	if p := s.packages[path]; p != nil {
		return p
	}
	folder, ours := strings.CutPrefix(path, module)
	if !ours {
		s.t.Fatalf("%s is no package of ours", path)
	}
	p := &sourcePackage{map[string]string{}, map[string][]constant{}}
	s.packages[path] = p
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil || files == nil {
		s.t.Fatalf("%s: %d files, %v", path, len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, d := range file.Decls {
			if d, ok := d.(*ast.GenDecl); ok {
				p.declared(d)
			}
		}
	}
	return p
}

func (p *sourcePackage) declared(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			p.comments[spec.Name.Name] = said(d.Doc, spec.Doc, spec.Comment)
			if fields, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range fields.Fields.List {
					for _, name := range f.Names {
						about := f.Comment
						if about == nil { // what stands above may be about several
							about = f.Doc
						}
						p.comments[spec.Name.Name+"."+name.Name] = said(about)
					}
				}
			}
		case *ast.ValueSpec:
			of, _ := spec.Type.(*ast.Ident)
			if d.Tok != token.CONST || of == nil || len(spec.Values) != 1 {
				continue
			}
			if value, ok := spec.Values[0].(*ast.BasicLit); ok && value.Kind == token.STRING {
				word, err := strconv.Unquote(value.Value)
				if err == nil {
					p.words[of.Name] = append(p.words[of.Name], constant{word, said(spec.Doc, spec.Comment)})
				}
			}
		}
	}
}

// said is what comments say, in one line.
func said(groups ...*ast.CommentGroup) string {
	var words []string
	for _, g := range groups {
		words = append(words, strings.Fields(g.Text())...)
	}
	return strings.Join(words, " ")
}
