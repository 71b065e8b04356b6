package shop

import "fmt"

// caught does what a use case does in a goroutine of its own: a panic there is an error,
// and not the end of the process with all that others do in it.
func caught(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return do()
}
