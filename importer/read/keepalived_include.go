package read

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Around is what a user tells of a keepalived.conf beside its text.
type Around struct {
	// ConfigID is the host's config-id (keepalived(8), -i): its name, as a
	// rule. Empty: not told.
	ConfigID string
	// Dir is the folder of the file, absolute and clean. Empty: it has none.
	Dir string
	// Folders are those whose files an include line may name.
	Folders []Folder
}

// Folder is a folder with files that a configuration may include.
type Folder struct {
	Path  string // as the configuration calls it, absolute and clean
	Name  string // as messages call it
	Files fs.FS
}

// Limits on what include lines can blow up to.
const (
	maxIncludeDepth = 16
	maxIncluded     = 1024 // files; also what the braces of one line make
)

// included is a file that an include line names.
type included struct {
	folder Folder
	name   string // in the folder
}

// String is what messages call it.
func (f included) String() string { return tidy(path.Join(f.folder.Name, f.name)) }

// include follows an include line, and reports whether it is one.
func (b *blockReader) include(line int, s string) bool {
	word, pattern := cutBlank(s)
	if pattern == "" || !slices.Contains([]string{"include", "includer", "includem", "includew", "includeb", "includea"}, word) {
		return false
	}
	text := masked(strings.Fields(s))
	files := b.find(line, text, pattern)
	for _, f := range files {
		if b.follow(line, text, f); b.stopped {
			break
		}
	}
	return true
}

// find lists the files that a pattern of glob(7) names, with braces as in a
// shell (open_and_check_glob in parser.c).
func (b *blockReader) find(line int, text, pattern string) []included {
	patterns, ok := braces(pattern)
	if !ok {
		b.problem(line, fmt.Sprintf("the braces of this include make more than %d names", maxIncluded), "write several lines")
		return nil
	}
	var files []included
	for _, p := range patterns {
		if !path.IsAbs(p) && b.dir == "" {
			b.left(line, text, "the source is no file, so that there is no folder to look in")
			return nil
		}
		if !path.IsAbs(p) {
			p = b.dir + "/" + p
		}
		at, ok := b.inFolder(path.Clean(p))
		if !ok {
			b.left(line, text, "it is outside of the file's own folder; --include FOLDER, or --include PATH=FOLDER for a copy, lets it be read")
			continue
		}
		names, err := matches(at)
		switch {
		case err != nil:
			b.left(line, text, err.Error())
		case len(names) == 0:
			b.left(line, text, "there is no such file")
		}
		for _, name := range names {
			files = append(files, included{at.folder, name})
		}
	}
	return files
}

// inFolder finds the folder that a path lies in: the deepest.
func (b *blockReader) inFolder(p string) (at included, ok bool) {
	for _, f := range b.around.Folders {
		rest, inside := strings.CutPrefix(p, strings.TrimSuffix(f.Path, "/")+"/")
		if inside && (!ok || len(f.Path) > len(at.folder.Path)) {
			at, ok = included{f, rest}, true
		}
	}
	return at, ok
}

// matches lists the files that the pattern names, in order. As in a shell, a
// wildcard does not match a leading dot.
func matches(at included) ([]string, error) {
	names, err := fs.Glob(at.folder.Files, strings.ReplaceAll(at.name, "[!", "[^"))
	if err != nil {
		return nil, err
	}
	wanted := strings.Split(at.name, "/")
	names = slices.DeleteFunc(names, func(name string) bool {
		for i, part := range strings.Split(name, "/") {
			if strings.HasPrefix(part, ".") && !strings.HasPrefix(wanted[i], ".") {
				return true
			}
		}
		return false
	})
	if len(names) == 0 && !strings.ContainsAny(at.name, `*?[\`) {
		if _, err := fs.Stat(at.folder.Files, at.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w", at, reason(err))
		}
	}
	return names, nil
}

// reason is an error without the path that its caller names.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// braces lists what a pattern with {a,b} stands for. It returns false where
// that is too much.
func braces(pattern string) ([]string, bool) {
	done, todo := []string(nil), []string{pattern}
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		end := strings.IndexByte(p, '}')
		start := strings.LastIndexByte(p[:max(0, end)], '{')
		if start < 0 { // no pair
			done = append(done, p)
		} else {
			for _, word := range strings.Split(p[start+1:end], ",") {
				todo = append(todo, p[:start]+word+p[end+1:])
			}
		}
		if len(done)+len(todo) > maxIncluded {
			return nil, false
		}
	}
	return done, true
}

// follow reads an included file where its line stands.
func (b *blockReader) follow(line int, text string, f included) {
	stop := func(what, fix string) { b.stopped = !b.problem(line, what, fix) }
	info, err := fs.Stat(f.folder.Files, f.name)
	switch {
	case err != nil:
		b.left(line, text, fmt.Sprintf("%s: %v", f, reason(err)))
		return
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 != 0: // check_glob_file in parser.c
		b.left(line, text, f.String()+" is executable, or no regular file: keepalived does not read it")
		return
	}
	if b.depth == maxIncludeDepth {
		stop(fmt.Sprintf("more than %d files included in one another", maxIncludeDepth), "does a file include itself?")
		return
	}
	if b.included++; b.included > maxIncluded {
		stop(fmt.Sprintf("more than %d files are included", maxIncluded), "does a file include itself?")
		return
	}
	data, err := readUpTo(f, MaxSize-b.size)
	switch {
	case err != nil:
		b.problem(line, fmt.Sprintf("%s: %v", f, reason(err)), "let lvsform read it, or take the line out")
		return
	case len(data) > MaxSize-b.size:
		stop(fmt.Sprintf("the files are longer than %d MiB together", MaxSize>>20), "import them in parts")
		return
	}
	b.size += len(data)
	dir := b.dir
	b.dir = path.Dir(path.Join(f.folder.Path, f.name))
	b.depth++
	back := b.enter(f.String(), line)
	b.readLines(b.lines(data))
	back()
	b.depth--
	b.dir = dir
}

// readUpTo reads a file, one byte more than is allowed at most.
func readUpTo(f included, most int) ([]byte, error) {
	file, err := f.folder.Files.Open(f.name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(file, int64(most)+1))
}
