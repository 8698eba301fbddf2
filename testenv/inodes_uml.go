package testenv

import (
	"fmt"
	"os"
	"time"
)

// inodePoll is how often the number of inodes is looked at. In that time no
// program opens more than a few hundred folders.
const inodePoll = 100 * time.Millisecond

// boundInodes keeps User-Mode Linux from running out of open files on the
// machine. Its hostfs holds one for every folder and file that was opened, until
// the kernel forgets the inode, which it does when memory is short, and not when
// files are. So it is told to, long before there are as many. It needs no file
// for that but the two that are open.
func boundInodes(openFiles uint64) error {
	count, err := os.Open("/proc/sys/fs/inode-nr")
	if err != nil {
		return fmt.Errorf("count inodes: %w", err)
	}
	drop, err := os.OpenFile("/proc/sys/vm/drop_caches", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("drop inodes: %w", err)
	}
	inodes := func() (n uint64) {
		var text [64]byte
		got, _ := count.ReadAt(text[:], 0)
		_, _ = fmt.Sscan(string(text[:got]), &n)
		return n
	}
	go func() {
		last := inodes()
		for range time.Tick(inodePoll) {
			switch n := inodes(); {
			case n < last:
				last = n
			case n-last > openFiles/4:
				// Once for those of the overlays, and once for those below them.
				for range 2 {
					_, _ = drop.WriteAt([]byte("2"), 0)
				}
				last = inodes()
			}
		}
	}()
	return nil
}
