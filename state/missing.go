package state

// Missing is an item that was asked for and that the host cannot have: a
// module that is in none of the kernel's folders, a setting the kernel lacks, a
// rule for which there is no program.
type Missing struct {
	ID  ID     `json:"id"`
	Why string `json:"why"`
}
