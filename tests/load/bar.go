package load

import (
	"fmt"
	"io"
)

// Bar is a promise and whether it was kept.
type Bar struct {
	What, Got string
	Kept      bool
}

// Judge says whether a promise was kept.
func Judge(what, got string, kept bool) Bar { return Bar{What: what, Got: got, Kept: kept} }

// PrintBars prints them, one on a line.
func PrintBars(out io.Writer, bars []Bar) {
	fmt.Fprintln(out)
	for _, b := range bars {
		verdict := "pass"
		if !b.Kept {
			verdict = "MISS"
		}
		fmt.Fprintf(out, "  %s  %-78s %s\n", verdict, b.What, b.Got)
	}
}
