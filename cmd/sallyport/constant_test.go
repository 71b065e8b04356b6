package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// secretName is how what must not be compared byte by byte is called.
var secretName = regexp.MustCompile(`(?i)secret|token$|signature|password|^mac$|digest`)

// calledAs returns what an expression is called in the end.
func calledAs(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.CallExpr:
		if len(e.Args) == 1 {
			return calledAs(e.Args[0]) // a conversion
		}
		return calledAs(e.Fun)
	case *ast.SliceExpr:
		return calledAs(e.X)
	default:
		return ""
	}
}

// isEmpty says whether an expression is "", nil or a number: to compare with it tells
// nothing of a secret.
func isEmpty(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.INT || e.Value == `""`
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "err"
	default:
		return false
	}
}

// leaks says whether a node compares a secret in a time that depends on it.
func leaks(n ast.Node) bool {
	var sides []ast.Expr
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op != token.EQL && n.Op != token.NEQ || isEmpty(n.X) || isEmpty(n.Y) {
			return false
		}
		sides = []ast.Expr{n.X, n.Y}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) == 2 && regexp.MustCompile(`^(Equal|EqualFold|Compare|HasPrefix)$`).MatchString(f.Sel.Name) {
			if of, ok := f.X.(*ast.Ident); ok && of.Name == "hmac" {
				return false
			}
			sides = n.Args
		}
	}
	for _, side := range sides {
		if secretName.MatchString(calledAs(side)) {
			return true
		}
	}
	return false
}

// Where strangers knock, nothing secret is compared but in constant time: no time is
// measured here, the code is read.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	for _, room := range []string{"api", "payments/cryptobot", "bot", "store"} {
		files, err := filepath.Glob(inRoot(room + "/*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(room, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				if n != nil && leaks(n) {
					t.Errorf("%s compares a secret", set.Position(n.Pos()))
				}
				return true
			})
		}
	}
	for source, want := range map[string]bool{
		`h.Get("X") == cfg.Secret`: true, `string(c.Token) != given`: true, `bytes.Equal(mac, given)`: true,
		`strings.EqualFold(signature, good)`: true, `cfg.Secret == ""`: false, `hmac.Equal(given, mac)`: false, `n == 1`: false,
	} {
		e, err := parser.ParseExpr(source)
		if err != nil || leaks(e) != want {
			t.Errorf("%s: %v, want %t", source, err, want)
		}
	}
}

// What is compared in constant time are digests of one length: also the length of a
// secret does not show.
func TestTheWebhooksSecretIsComparedByItsDigest(t *testing.T) {
	t.Parallel()
	tree, err := parser.ParseFile(token.NewFileSet(), inRoot("api/receive.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	compared, digests := 0, map[string]bool{"digest": true} // of another process, made the same way
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if call, ok := n.Rhs[0].(*ast.CallExpr); ok && strings.HasPrefix(calledAs(call.Fun), "Sum256") {
				digests[calledAs(n.Lhs[0])] = true
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "ConstantTimeCompare" {
				compared++
				for _, side := range n.Args {
					if !digests[calledAs(side)] {
						t.Errorf("%q is no digest", calledAs(side))
					}
				}
			}
		}
		return true
	})
	if compared != 2 {
		t.Errorf("%d comparisons", compared)
	}
}
