// Load asks a web server for a page, so many times a second, each time over a
// connection of its own. It is test traffic for labs: it ends when its standard
// input does, and prints how many requests had an answer.
//
// Its connections come from ports below those that the kernel gives out. IPVS
// keeps the entry of a connection for up to two minutes after its end, and sends
// a new one from the same port the old way; verify's probes meet none of these.
//
//	load URL REQUESTS-PER-SECOND
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// answerLimit bounds one request.
	answerLimit = 3 * time.Second
	// firstPort is the first port of the client, of as many as ports.
	firstPort = 20000
	ports     = 12000
)

func main() {
	if len(os.Args) != 3 {
		fail("load URL REQUESTS-PER-SECOND")
	}
	rate, err := strconv.Atoi(os.Args[2])
	if err != nil || rate < 1 {
		fail("%q is no number of requests a second", os.Args[2])
	}
	end := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(end)
	}()
	answered, failed := run(os.Args[1], rate, end)
	fmt.Printf("%d answered, %d failed\n", answered, failed)
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(2)
}

func run(url string, rate int, end <-chan struct{}) (answered, failed int64) {
	var next atomic.Uint32
	client := &http.Client{Timeout: answerLimit, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			port := firstPort + int(next.Add(1)%ports)
			return (&net.Dialer{LocalAddr: &net.TCPAddr{Port: port}}).DialContext(ctx, network, address)
		},
	}}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	var (
		running sync.WaitGroup
		good    atomic.Int64
		bad     atomic.Int64
	)
	for {
		select {
		case <-end:
			running.Wait()
			return good.Load(), bad.Load()
		case <-tick.C:
			running.Go(func() {
				if ask(client, url) {
					good.Add(1)
				} else {
					bad.Add(1)
				}
			})
		}
	}
}

func ask(client *http.Client, url string) bool {
	response, err := client.Get(url)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}
