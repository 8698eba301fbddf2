package inventory

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// textOf reads text and passes it to set, which returns what is wrong with it
// and what would be right, or nothing.
func textOf(is string, schema jsonSchema, set func(d *decoder, v value, text string) (what, fix string)) form {
	return form{
		is: is,
		schema: func() jsonSchema {
			all := jsonSchema{"type": "string"}
			maps.Copy(all, schema)
			return all
		},
		read: func(d *decoder, v value) bool {
			switch v.node.ShortTag() {
			case "!!str", "!!timestamp":
			case "!!int", "!!float", "!!bool":
				return d.problem(v, fmt.Sprintf("is %s, want text", kindOf(v.node)), fmt.Sprintf("quote it: %q", v.node.Value))
			default:
				return d.problem(v, "is "+kindOf(v.node), "want "+is)
			}
			if what, fix := set(d, v, v.node.Value); what != "" {
				return d.problem(v, what, fix)
			}
			return true
		},
	}
}

// naming is what makes text a name.
type naming struct {
	is      string
	pattern string   // in the common part of RE2 and ECMA-262
	not     []string // names that are taken
}

func (n naming) schema() jsonSchema {
	s := jsonSchema{"pattern": n.pattern}
	if len(n.not) > 0 {
		s["not"] = jsonSchema{"enum": n.not}
	}
	return s
}

func (n naming) refuse(d *decoder, name string) (what, fix string) {
	if slices.Contains(n.not, name) || !d.matches(n.pattern, name) {
		fix = "want " + n.is
		if _, _, ok := cutPattern(name); ok {
			fix += "; there are no ranges and no patterns: write the names out, one by one"
		}
		return fmt.Sprintf("%q cannot be used here", name), fix
	}
	return "", ""
}

// cutPattern splits what looks like a range or a pattern of names, such as
// web[1-3], web{1..3} or web*, into what is in front of it and what is behind.
func cutPattern(name string) (before, after string, ok bool) {
	first, last := strings.IndexAny(name, "[{*?"), strings.LastIndexAny(name, "]}*?")
	if first < 0 || last < first {
		return "", "", false
	}
	return name[:first], name[last+1:], true
}

func (n naming) takes(name string) bool {
	return !slices.Contains(n.not, name) && regexp.MustCompile(n.pattern).MatchString(name)
}

// IsName reports whether a topology, a network or a service can have the name.
func IsName(name string) bool { return plainName().takes(name) }

// IsHostName reports whether a host can have the name.
func IsHostName(name string) bool { return hostName().takes(name) }

// IsInterfaceName reports whether a NIC can have the name.
func IsInterfaceName(name string) bool { return interfaceName().takes(name) }

// IsDeviceName reports whether a device can have the name. It may be lo.
func IsDeviceName(name string) bool { return deviceName().takes(name) }

// plainName is a name that can be part of a file's name.
func plainName() naming {
	return naming{
		is:      "a name of letters, digits, . _ and -, at most 64, the first a letter or digit",
		pattern: `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`,
	}
}

// hostName is one label of RFC 1123, 2.1.
func hostName() naming {
	return naming{
		is:      "a host name of one label: letters, digits and inner hyphens, at most 63",
		pattern: `^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`,
	}
}

// interfaceName is what the kernel takes for a device (dev_valid_name: shorter
// than IFNAMSIZ, no slash, colon or space), less what means something else to
// it: %d, the loopback device, and the folders all and default of
// /proc/sys/net/ipv4/conf.
func interfaceName() naming {
	n := deviceName()
	n.is = "an interface name: at most 15 visible ASCII characters without / : %, and not lo"
	n.not = append(n.not, "lo")
	return n
}

// deviceName is an interface name that may be lo.
func deviceName() naming {
	return naming{
		is:      "a device name: at most 15 visible ASCII characters without / : %",
		pattern: `^[!-$&-.0-9;-~]{1,15}$`,
		not:     []string{".", "..", "all", "default"},
	}
}

// word is text without spaces, such as a user or a host name to connect to.
func word() naming {
	return naming{is: "visible ASCII characters without spaces, and no - in front", pattern: `^[!-,.-~][!-~]{0,254}$`}
}

func nameOf(n naming, to *string) form {
	return textOf(n.is, n.schema(), func(d *decoder, _ value, text string) (what, fix string) {
		*to = text
		return n.refuse(d, text)
	})
}

// lineOf reads one line of text.
func lineOf(is string, to *string) form {
	const pattern = `^[^\x00\r\n]+$`
	return textOf(is, jsonSchema{"pattern": pattern}, func(d *decoder, _ value, text string) (what, fix string) {
		*to = text
		if !d.matches(pattern, text) {
			return fmt.Sprintf("%q is not one line of text", text), "want " + is
		}
		return "", ""
	})
}

// choiceOf reads one of the known words.
func choiceOf[T ~string](noun string, known []T, to *T) form {
	words := make([]string, len(known))
	for i, k := range known {
		words[i] = string(k)
	}
	is := "one of " + strings.Join(words, ", ")
	if len(words) == 1 {
		is = words[0]
	}
	return textOf(is, jsonSchema{"enum": words}, func(_ *decoder, _ value, text string) (what, fix string) {
		if !slices.Contains(words, text) {
			return fmt.Sprintf("unknown %s %q", noun, text), suggest(text, words, "known")
		}
		*to = T(text)
		return "", ""
	})
}

// numberOf reads a whole number in decimal. YAML 1.1 takes 010 for 8 and YAML
// 1.2 for 10, so leading zeros are refused.
func numberOf[T uint8 | uint16 | uint32 | int | int64](is string, from, last int64, to *T) form {
	return form{
		is:     is,
		schema: func() jsonSchema { return jsonSchema{"type": "integer", "minimum": from, "maximum": last} },
		read: func(d *decoder, v value) bool {
			text := v.node.Value
			digits := strings.TrimPrefix(text, "-")
			decimal := digits != "" && strings.Trim(digits, "0123456789") == ""
			tag := v.node.ShortTag()
			switch {
			case tag == "!!str" && decimal:
				return d.problem(v, "is "+kindOf(v.node)+", want a number", "write "+text+" without quotes")
			case v.node.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float":
				return d.problem(v, "is "+kindOf(v.node), "want "+is)
			case !decimal:
				return d.problem(v, text+" is not a whole number in decimal", "want "+is)
			case digits != "0" && digits[0] == '0':
				plain := strings.TrimLeft(digits, "0")
				return d.problem(v, text+" has a leading zero, which means octal to some", "write "+plain)
			}
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < from || n > last {
				return d.problem(v, text+" is out of range", "want "+is)
			}
			*to = T(n)
			return true
		},
	}
}

func portOf(to *uint16) form {
	return numberOf("a port, 1 to 65535", 1, math.MaxUint16, to)
}

func flagOf(to *bool) form {
	return form{
		is:     "true or false",
		schema: func() jsonSchema { return jsonSchema{"type": "boolean"} },
		read: func(d *decoder, v value) bool {
			if v.node.ShortTag() != "!!bool" {
				return d.problem(v, "is "+kindOf(v.node), "want true or false")
			}
			*to = strings.EqualFold(v.node.Value, "true")
			return true
		},
	}
}
