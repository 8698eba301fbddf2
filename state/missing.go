package state

// Missing is an item that the host cannot have. What was asked for: a module
// that is in none of the kernel's folders, a setting the kernel lacks, a rule
// for which there is no program. And unasked, every route in whose place is one
// that lvsform has no words for.
type Missing struct {
	ID  ID     `json:"id"`
	Why string `json:"why"`
}
