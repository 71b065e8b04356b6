package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms says what each room of the product may import of ours. Imports point at
// shop; drivers and adapters do not know each other; cmd wires.
func rooms() map[string][]string {
	return map[string][]string{
		"shop":               {},
		"outbound":           {"shop"},
		"api":                {"shop"},
		"bot":                {"shop", "outbound"},
		"workers":            {"shop"},
		"store":              {"shop"},
		"xray":               {"shop", "outbound", "xray/xrayapi"},
		"xray/xrayapi":       {},
		"payments/cryptobot": {"shop", "outbound"},
		"payments/stars":     {"shop"},
		"migrations":         {},
		"cmd/sallyport": {
			"api", "bot", "migrations", "outbound", "payments/cryptobot", "payments/stars", "shop", "store", "workers", "xray",
		},
	}
}

// imports returns what the Go files of a folder import, tests left out.
func imports(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range tree.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, path)
		}
	}
	return found
}

func TestImportsPointAtTheShop(t *testing.T) {
	t.Parallel()
	for room, allowed := range rooms() {
		for _, path := range imports(t, filepath.Join("..", "..", room)) {
			ours, isOurs := strings.CutPrefix(path, "sallyport/")
			if isOurs && !slices.Contains(allowed, ours) {
				t.Errorf("%s must not import %s", room, ours)
			}
		}
	}
}

func TestTheBusinessNeedsOnlyTheStandardLibraryAndAUUID(t *testing.T) {
	t.Parallel()
	for _, path := range imports(t, filepath.Join("..", "..", "shop")) {
		if strings.Contains(path, ".") && path != "github.com/google/uuid" {
			t.Errorf("shop imports %s", path)
		}
	}
}

// Every folder with Go code of the product stands in the table above, so that a
// new room cannot slip past it; and the product never imports the sandbox.
func TestEveryRoomIsKnown(t *testing.T) {
	t.Parallel()
	aside := []string{"sandbox", "tests", "tools", "cmd/sandbox", "cmd/bench", "store/storetest", "shop/shoptest", "xray/xrayapi/gen"}
	known := rooms()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		room, _ := filepath.Rel(root, path)
		room = filepath.ToSlash(room)
		if strings.HasPrefix(d.Name(), ".") && room != "." || slices.Contains(aside, room) || d.Name() == "testdata" {
			return fs.SkipDir
		}
		if len(imports(t, path)) > 0 {
			if _, ok := known[room]; !ok {
				t.Errorf("%s has no place in the plan of rooms", room)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
