package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// audited returns the ids of everything that the audit found.
func audited() []string {
	var ids []string
	for n := range 17 {
		ids = append(ids, fmt.Sprint("F", n+1))
	}
	for _, letter := range "abcefghijklmnopqrstvw" { // it has no d and no u
		ids = append(ids, "F18"+string(letter))
	}
	for n := range 24 {
		if n+1 != 17 && n+1 != 23 { // it has neither
			ids = append(ids, fmt.Sprint("S", n+1))
		}
	}
	for n := range 10 {
		ids = append(ids, fmt.Sprint("R", n+1))
	}
	for n := range 11 {
		ids = append(ids, fmt.Sprint("V", n+1))
	}
	slices.Sort(ids)
	return ids
}

// docs/defects.md has a row for each fault that was found: how it is answered and which
// tests show that, or, in a table of its own, that it is open.
func TestEachDefectIsAnsweredOrOpen(t *testing.T) {
	t.Parallel()
	doc := readDoc(t, "docs/defects.md")
	var found []string
	for _, row := range rows(section(t, doc, "## Answered")) {
		if len(row) != 4 || slices.Contains(row, "") {
			t.Errorf("%s: want what happened, the answer and the tests", row[0])
			continue
		}
		found = append(found, row[0])
		testsOf(t, row[0], row[3])
	}
	for _, row := range rows(section(t, doc, "## Open")) {
		if len(row) != 2 || slices.Contains(row, "") {
			t.Errorf("%s: want what is left", row[0])
		}
		found = append(found, row[0])
	}
	slices.Sort(found)
	for _, id := range audited() {
		if n := len(found) - len(slices.DeleteFunc(slices.Clone(found), func(f string) bool { return f == id })); n != 1 {
			t.Errorf("%s has %d rows", id, n)
		}
	}
	for _, id := range found {
		base, _, _ := strings.Cut(id, " (") // a part of one may have a row of its own
		if !slices.Contains(audited(), base) && !regexp.MustCompile(`^Odd \d+$`).MatchString(base) {
			t.Errorf("%s is no id of the audit", id)
		}
	}
}

// testsOf looks for each test that a row names, in the file that it links to behind the names.
func testsOf(t *testing.T, id, cell string) {
	t.Helper()
	link, name := regexp.MustCompile(`\[[^\]]+\]\(([^)]+)\)`), regexp.MustCompile("`(Test\\w+)`")
	from := 0
	for _, at := range link.FindAllStringSubmatchIndex(cell, -1) {
		path := cell[at[2]:at[3]]
		text, err := os.ReadFile(filepath.Join(inRoot("docs"), filepath.FromSlash(path)))
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
		tests := name.FindAllStringSubmatch(cell[from:at[0]], -1)
		if len(tests) == 0 {
			t.Errorf("%s: no test is named before %s", id, path)
		}
		for _, test := range tests {
			if err == nil && !strings.Contains(string(text), "func "+test[1]+"(t *testing.T") {
				t.Errorf("%s: %s has no %s", id, path, test[1])
			}
		}
		from = at[1]
	}
	if from == 0 || name.MatchString(cell[from:]) {
		t.Errorf("%s: tests are named before the link to their file: %s", id, cell)
	}
}
