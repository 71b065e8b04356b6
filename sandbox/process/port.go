package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// The kernel gives outgoing connections ports from 32768 up. Below it a port
// found free stays free, and dialing it early can not connect to itself.
const (
	lowestPort  = 15000
	highestPort = 32767
	portTries   = 200
)

// FreePort returns a TCP port on 127.0.0.1 that nothing listens on, for a child
// that must be told its port. Until our process ends, FreePort gives it to nobody
// else, in other processes neither.
func FreePort() (int, error) {
	claims := filepath.Join(os.TempDir(), fmt.Sprintf("sallyport-ports-%d", os.Getuid()))
	if err := os.MkdirAll(claims, 0o700); err != nil {
		return 0, fmt.Errorf("claim a port: %w", err)
	}
	for range portTries {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		claimed, err := claim(filepath.Join(claims, strconv.Itoa(port)))
		if err != nil {
			return 0, err
		}
		if claimed && isFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("no free port found on 127.0.0.1")
}

// claim locks the file, for as long as our process lives: what is never closed is
// closed by the kernel then. It reports whether nobody else has locked it.
func claim(path string) (bool, error) {
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return false, fmt.Errorf("claim a port: %w", err)
	}
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = syscall.Close(fd)
		return false, nil
	}
	return true, nil
}

func isFree(port int) bool {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return false
	}
	return l.Close() == nil
}
