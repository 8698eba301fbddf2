package inventory

import (
	"fmt"
	"slices"
	"strings"
)

// suggest says which of the known words was meant, or what the known words are.
func suggest(word string, known []string, noun string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	const most = 20
	if len(known) > most {
		return fmt.Sprintf("%s: %s, and %d more", noun, strings.Join(known[:most], ", "), len(known)-most)
	}
	return fmt.Sprintf("%s: %s", noun, strings.Join(known, ", "))
}

// nearest returns the known word that differs least from word, or "" when
// none is near enough to be meant.
func nearest(word string, known []string) string {
	const longest = 64 // no name is longer, and comparing takes time
	if len(word) > longest {
		return ""
	}
	best, least := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if otherNumber(word, k) {
			continue
		}
		if n := distance(strings.ToLower(word), strings.ToLower(k)); n < least {
			best, least = k, n
		}
	}
	return best
}

// otherNumber reports whether two words differ in their numbers alone: web1 is no
// slip of the pen for web4.
func otherNumber(a, b string) bool {
	digit := func(r rune) bool { return '0' <= r && r <= '9' }
	number := func(r rune) bool { return !digit(r) }
	letters := func(s string) string { return strings.Join(strings.FieldsFunc(s, digit), "0") }
	numbers := func(s string) []string {
		out := strings.FieldsFunc(s, number)
		for i := range out {
			out[i] = strings.TrimLeft(out[i], "0")
		}
		return out
	}
	return strings.EqualFold(letters(a), letters(b)) && len(numbers(a)) == len(numbers(b)) && !slices.Equal(numbers(a), numbers(b))
}

// distance is how many letters must be put in, left out, changed or swapped
// with their neighbour to turn a into b.
func distance(a, b string) int {
	var before, last []int // the rows of the table for a[:i-2] and a[:i-1]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
