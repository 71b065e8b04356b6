package shop_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/shop"
)

// trap is a node that panics.
type trap struct{ shop.Node }

func (trap) Name() string                                { return "trap" }
func (trap) Ensure(context.Context, shop.Access) error   { panic("odd") }
func (trap) Absent(context.Context, shop.AccessID) error { panic("odd") }

// A panic at one node is that node's fault: the process lives on, and others let the
// customer in.
func TestANodeThatPanicsKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	w := setup(t)
	both := w.shopWith(trap{w.node}, w.node)
	w.buy()
	w.must(both.Converge(t.Context(), anna))
	if !w.node.Has(w.sub().Access) {
		t.Error("they are let in nowhere")
	}
	alone := w.shopWith(trap{w.node})
	w.sql(`UPDATE subscriptions SET status = 'expired'`)
	if err := alone.ConvergeAll(t.Context(), []shop.UserID{anna}); err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("%v", err)
	}
}

// Where a use case starts a goroutine, nobody else catches its panic.
func TestEveryGoroutineOfAUseCaseCatchesItsPanics(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	started := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if starts(n) {
				started++
				if !calls(n, "caught") {
					t.Errorf("%s: a panic here ends the process", set.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if started == 0 {
		t.Error("no goroutine was found")
	}
}

// starts says whether the node starts a goroutine.
func starts(n ast.Node) bool {
	if call, ok := n.(*ast.CallExpr); ok {
		method, ok := call.Fun.(*ast.SelectorExpr)
		return ok && method.Sel.Name == "Go"
	}
	_, bare := n.(*ast.GoStmt)
	return bare
}

// calls says whether the function is called somewhere within the node.
func calls(within ast.Node, function string) (found bool) {
	ast.Inspect(within, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if name, ok := call.Fun.(*ast.Ident); ok && name.Name == function {
				found = true
			}
		}
		return true
	})
	return found
}
