package inventory

// encapsulationOf reads a whole encapsulation: what it does not say has the
// default, also where a real server's stands in place of the service's.
func encapsulationOf(to *Encapsulation) form {
	e := Encapsulation{Type: "ipip"}
	return objectOf(object{
		name: "Encapsulation",
		fields: []field{
			{key: "type", preset: e.Type, form: choiceOf("tunnel type", []string{"ipip", "gre", "gue"}, &e.Type),
				doc: "The tunnel's protocol."},
			{key: "port", form: portOf(&e.Port),
				doc: "The UDP port on which real servers receive; gue needs it, and nothing else has it."},
			{key: "checksum", preset: false, form: flagOf(&e.Checksum),
				doc: "Whether the outer header has a checksum: of gre and gue."},
		},
	}).and(func(d *decoder, v value, ok bool) bool {
		*to = e
		switch {
		case !ok:
		case e.Type == "gue" && e.Port == 0: // ip_vs_add_dest refuses it
			return d.problem(v, "port is missing", "gue is carried over UDP: write the real servers' port, such as 6080")
		case e.Type != "gue" && e.Port != 0:
			return d.problemAt(v.path+".port", e.Type+" has no port", "leave it out, or write type: gue")
		case e.Type == "ipip" && e.Checksum:
			return d.problemAt(v.path+".checksum", "ipip has no checksum", "leave it out, or write type: gre or type: gue")
		}
		return true
	})
}
