package process

import (
	"io"
	"strings"
	"sync"
)

const tailSize = 4 << 10

// Tail is an output that remembers its last few kilobytes, to quote them in an
// error, and passes everything on. The zero value only remembers.
type Tail struct {
	// Next, if set, receives all output too.
	Next io.Writer

	mu  sync.Mutex
	buf []byte
}

// Write remembers b and passes it on. A failing Next does not stop the child.
func (t *Tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if extra := len(t.buf) - tailSize; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	if t.Next != nil {
		_, _ = t.Next.Write(b)
	}
	return len(b), nil
}

// String is what is remembered, without surrounding blank space.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
