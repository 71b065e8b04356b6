package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// The kernel gives outgoing connections ports from 32768 up. Below it a port
// found free stays free, and dialing it early can not connect to itself.
const (
	lowestPort  = 15000
	highestPort = 32767
	portTries   = 200
)

// FreePort returns a TCP port on 127.0.0.1 that nothing listens on, for a child
// that must be told its port. It is chosen at random, so that several programs
// choosing at once do not choose alike.
func FreePort() (int, error) {
	for range portTries {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return 0, fmt.Errorf("release port %d: %w", port, err)
		}
		return port, nil
	}
	return 0, errors.New("no free port found on 127.0.0.1")
}
