package process

import (
	"bytes"
	"fmt"
	"os"
)

// Alive reports whether a process with this id is running. A zombie, dead but
// not yet reaped by its parent, is not alive.
func Alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the name, which is in brackets and may hold brackets.
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 || len(stat) < end+3 {
		return false
	}
	state := stat[end+2]
	return state != 'Z' && state != 'X'
}
