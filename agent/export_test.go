package agent

// BeforeWrite sets what is called ahead of every change of a journal's file and
// of the folder's removal. An error is the change's.
func (a *Agent) BeforeWrite(f func() error) { a.beforeWrite = f }

// ReadJournals is for tests outside of the package, which use its fleet.
var ReadJournals = readJournals
