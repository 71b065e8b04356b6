package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/outbound"
	"sallyport/xray"
)

// inRoot returns the path of a file by its path in the repository.
func inRoot(path string) string { return filepath.Join("..", "..", filepath.FromSlash(path)) }

func readDoc(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(inRoot(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// allDocs returns the paths of all documents.
func allDocs(t *testing.T) []string {
	t.Helper()
	docs := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, pattern := range []string{"docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(inRoot(pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: nothing there, %v", pattern, err)
		}
		for _, path := range found {
			docs = append(docs, filepath.ToSlash(strings.TrimPrefix(path, inRoot("")+string(filepath.Separator))))
		}
	}
	return docs
}

// section returns what stands below a heading, up to the next of its level or above.
func section(t *testing.T, doc, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(doc, "\n"+heading+"\n")
	if !found {
		t.Fatalf("there is no %q", heading)
	}
	level := len(heading) - len(strings.TrimLeft(heading, "#"))
	if end := regexp.MustCompile(fmt.Sprintf(`(?m)^#{1,%d} `, level)).FindStringIndex(rest); end != nil {
		rest = rest[:end[0]]
	}
	return rest
}

// rows returns the cells of the tables in text, their headings left out.
func rows(text string) [][]string {
	var found [][]string
	body := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			body = false
		case strings.HasPrefix(line, "| ---"):
			body = true
		case body:
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			found = append(found, cells)
		}
	}
	return found
}

func TestCatalogueExampleIsRead(t *testing.T) {
	t.Parallel()
	_, nodes, err := readCatalogue(inRoot("catalogue.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range nodes {
		c.Host = outbound.New(outbound.Config{Name: c.Name})
		node, err := xray.Dial(c)
		if err != nil {
			t.Fatal(err)
		}
		_ = node.Close()
	}
}

// slug is the anchor that a heading gets.
func slug(heading string) string {
	kept := regexp.MustCompile("[^a-z0-9 _-]").ReplaceAllString(strings.ToLower(strings.TrimLeft(heading, "# ")), "")
	return strings.ReplaceAll(kept, " ", "-")
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, doc := range allDocs(t) {
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(readDoc(t, doc), -1) {
			if strings.HasPrefix(link[1], "https://") {
				continue
			}
			path, anchor, _ := strings.Cut(link[1], "#")
			target := doc
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(doc), path))
			}
			if _, err := os.Stat(inRoot(target)); err != nil {
				t.Errorf("%s: %s leads nowhere", doc, link[1])
				continue
			}
			if anchor == "" {
				continue
			}
			headings := regexp.MustCompile(`(?m)^#+ .*$`).FindAllString(readDoc(t, target), -1)
			if !slices.ContainsFunc(headings, func(h string) bool { return slug(h) == anchor }) {
				t.Errorf("%s: %s leads to no heading", doc, link[1])
			}
		}
	}
}

func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	err := filepath.WalkDir(inRoot(""), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range allDocs(t) {
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(readDoc(t, doc), -1) {
			if !strings.Contains(tests.String(), "func "+name+"(") {
				t.Errorf("%s: there is no %s", doc, name)
			}
		}
	}
}

func TestDecisionsHaveTheirParts(t *testing.T) {
	t.Parallel()
	number := 0
	for _, doc := range allDocs(t) {
		if !strings.HasPrefix(doc, "docs/adr/") {
			continue
		}
		number++
		form := fmt.Sprintf(`(?s)^# %d\. [^\n]+\n\n- Status: (proposed|accepted|superseded by [^\n]+)\n- Date: \d{4}-\d\d-\d\d\n\n`+
			`## Context\n\n.+\n## Decision\n\n.+\n## Cost\n\n.+$`, number)
		if !strings.HasPrefix(filepath.Base(doc), fmt.Sprintf("%04d-", number)) || !regexp.MustCompile(form).MatchString(readDoc(t, doc)) {
			t.Errorf("%s is not decision %d: status, date, context, decision, cost", doc, number)
		}
	}
}

// constants returns the constants of a Go file with their values.
func constants(t *testing.T, path string) map[string]*ast.ValueSpec {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), inRoot(path), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]*ast.ValueSpec)
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			if value, ok := spec.(*ast.ValueSpec); ok && len(value.Values) == 1 {
				found[value.Names[0].Name] = value
			}
		}
	}
	return found
}

// A semicolon ends a line of mermaid wherever it stands, and breaks the diagram.
func TestDiagramsHaveNoSemicolons(t *testing.T) {
	t.Parallel()
	for _, doc := range allDocs(t) {
		for _, diagram := range regexp.MustCompile("(?s)```mermaid\n(.*?)```").FindAllStringSubmatch(readDoc(t, doc), -1) {
			if strings.Contains(diagram[1], ";") {
				t.Errorf("%s: a semicolon in\n%s", doc, diagram[1])
			}
		}
	}
}

func TestStateDiagramsShowTheStatuses(t *testing.T) {
	t.Parallel()
	for _, life := range []struct{ heading, file, typ string }{
		{"### Order", "shop/order.go", "OrderStatus"},
		{"### Subscription", "shop/subscription.go", "SubscriptionStatus"},
	} {
		var want []string
		for _, c := range constants(t, life.file) {
			typ, isNamed := c.Type.(*ast.Ident)
			value, isLiteral := c.Values[0].(*ast.BasicLit)
			if isNamed && isLiteral && typ.Name == life.typ {
				status, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, status)
			}
		}
		slices.Sort(want)
		diagram := section(t, readDoc(t, "docs/architecture.md"), life.heading)
		var got []string
		for _, arrow := range regexp.MustCompile(`(?m)^    (\S+) --> ([a-z\[\]*]+)(: |$)`).FindAllStringSubmatch(diagram, -1) {
			got = append(got, arrow[1], arrow[2])
		}
		slices.Sort(got)
		got = slices.DeleteFunc(slices.Compact(got), func(s string) bool { return s == "[*]" })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the diagram (+) differs from the code (-):\n%s", life.heading, diff)
		}
	}
}

// isSpan says whether a constant is a length of time: a number of units, or one
// made of others that are.
func isSpan(known map[string]*ast.ValueSpec, e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		pkg, ok := e.X.(*ast.Ident)
		return ok && pkg.Name == "time"
	case *ast.Ident:
		return known[e.Name] != nil && isSpan(known, known[e.Name].Values[0])
	case *ast.BinaryExpr:
		return isSpan(known, e.X) || isSpan(known, e.Y)
	default:
		return false
	}
}

// limits returns every constant length of time in the product, by file and name.
func limits(t *testing.T) map[string]time.Duration {
	t.Helper()
	found := make(map[string]time.Duration)
	for room := range rooms() {
		files, err := filepath.Glob(inRoot(room + "/*.go"))
		if err != nil {
			t.Fatal(err)
		}
		inRoom, inFile := make(map[string]*ast.ValueSpec), make(map[string]map[string]*ast.ValueSpec)
		for _, file := range files {
			path := room + "/" + filepath.Base(file)
			if !strings.HasSuffix(path, "_test.go") {
				inFile[path] = constants(t, path)
				maps.Copy(inRoom, inFile[path])
			}
		}
		for path, known := range inFile {
			for name, value := range known {
				if name != "day" && isSpan(inRoom, value.Values[0]) {
					found[path+" "+name] = span(t, inRoom, value.Values[0])
				}
			}
		}
	}
	return found
}

// span computes a constant length of time.
func span(t *testing.T, known map[string]*ast.ValueSpec, e ast.Expr) time.Duration {
	t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		n, err := strconv.ParseInt(e.Value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(n)
	case *ast.SelectorExpr:
		return map[string]time.Duration{
			"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
		}[e.Sel.Name]
	case *ast.Ident:
		return span(t, known, known[e.Name].Values[0])
	case *ast.BinaryExpr:
		if e.Op == token.MUL {
			return span(t, known, e.X) * span(t, known, e.Y)
		}
		return span(t, known, e.X) + span(t, known, e.Y)
	default:
		t.Fatalf("cannot compute %T", e)
		return 0
	}
}

func TestTimeLimitsAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	told := make(map[string]time.Duration)
	for _, row := range rows(section(t, readDoc(t, "docs/architecture.md"), "## Time limits")) {
		name := regexp.MustCompile("^`(\\w+)`: ").FindStringSubmatch(row[1])
		if name == nil || !strings.HasSuffix(row[0], ".go`") || name[1] == "Server" {
			continue
		}
		limit, err := time.ParseDuration(strings.NewReplacer(" ms", "ms", " s", "s", " min", "m", " h", "h").Replace(row[2]))
		if err != nil {
			t.Fatal(err)
		}
		told[strings.Trim(row[0], "`")+" "+name[1]] = limit
	}
	if diff := cmp.Diff(limits(t), told); diff != "" {
		t.Errorf("docs/architecture.md (+) differs from the code (-):\n%s", diff)
	}
}

func firstCells(table [][]string) []string {
	var names []string
	for _, row := range table {
		names = append(names, strings.Trim(row[0], "`"))
	}
	slices.Sort(names)
	return names
}

func TestTablesNameWhatThereIs(t *testing.T) {
	t.Parallel()
	architecture := readDoc(t, "docs/architecture.md")
	var kinds []string
	for _, kind := range regexp.MustCompile(`Kind\(\) string \{ return "(\w+)" \}`).FindAllStringSubmatch(readDoc(t, "shop/job.go"), -1) {
		kinds = append(kinds, kind[1])
	}
	slices.Sort(kinds)
	if diff := cmp.Diff(kinds, firstCells(rows(section(t, architecture, "## Jobs")))); diff != "" {
		t.Errorf("jobs: the document (+) differs from the code (-):\n%s", diff)
	}
	known := slices.DeleteFunc(slices.Sorted(maps.Keys(rooms())), func(room string) bool { return room == "xray/xrayapi" })
	if diff := cmp.Diff(known, firstCells(rows(section(t, architecture, "## Rooms")))); diff != "" {
		t.Errorf("rooms: the document (+) differs from the code (-):\n%s", diff)
	}
	var direct []string
	for _, module := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(readDoc(t, "go.mod"), -1) {
		direct = append(direct, module[1])
	}
	slices.Sort(direct)
	table := rows(section(t, readDoc(t, "docs/adr/0008-direct-dependencies.md"), "## Decision"))
	if diff := cmp.Diff(direct, firstCells(table)); diff != "" {
		t.Errorf("direct dependencies: the record (+) differs from go.mod (-):\n%s", diff)
	}
}

func TestREADMEShowsWhatOneSees(t *testing.T) {
	t.Parallel()
	readme := readDoc(t, "README.md")
	help := exec.CommandContext(t.Context(), "make", "--silent", "--no-print-directory", "help")
	help.Dir = inRoot("")
	list, err := help.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(readme, "```text\n"+string(list)+"```") {
		t.Errorf("make help says otherwise:\n%s", list)
	}
	story := readDoc(t, "cmd/sandbox/demo.go") + readDoc(t, "cmd/sandbox/story.go")
	steps := regexp.MustCompile(`(?m)^ ?\d+  (.+?)(?:, \d+ seconds)? +\d+ ms$`).FindAllStringSubmatch(readme, -1)
	for _, step := range steps {
		if !strings.Contains(story, `"`+step[1]) {
			t.Errorf("the demo has no step %q", step[1])
		}
	}
	if !strings.Contains(readme, fmt.Sprintf("demo: ok, %d steps, ", len(steps))) {
		t.Errorf("the README shows %d steps", len(steps))
	}
	node, _, _ := strings.Cut(readDoc(t, "docs/node.md"), "```\n")
	_, node, _ = strings.Cut(node, "```json\n")
	if !json.Valid([]byte(node)) {
		t.Error("the configuration of a node is no JSON")
	}
}
