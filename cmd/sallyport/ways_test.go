package main

import (
	"errors"
	"testing"

	"sallyport/api"
)

// One try that is lost on the network is no alarm; three in a row are, until one succeeds.
func TestAWayIsClosedWhenThreeTriesInARowFail(t *testing.T) {
	t.Parallel()
	var w ways
	w.forget()
	refused := errors.New("203.0.113.7:443: nothing answers at the port")
	for i, step := range []struct {
		err    error
		closed bool
	}{{nil, false}, {refused, false}, {refused, false}, {nil, false}, {refused, false}, {refused, false}, {refused, true}, {refused, true}, {nil, false}} {
		w.tried("de1", step.err)
		found := w.finding("de1")
		if closed := found.Code == api.CodeNodeUnusable; closed != step.closed || w.doubtful("de1") != (step.err != nil) {
			t.Errorf("after try %d: %+v", i+1, found)
		}
		if w.finding("nl1").State != api.StateOK {
			t.Error("another node is blamed")
		}
	}
}
