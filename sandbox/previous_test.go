package sandbox_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport/sandbox"
)

// previous is the commit of the program before: the last one that was handed out. It moves
// with each release.
const previous = "a35794907780259c80be284652ecf882f7ce1318"

// buildPrevious builds the program before from the repository's history.
func buildPrevious(t *testing.T, to string) {
	t.Helper()
	archive := exec.CommandContext(t.Context(), "git", "archive", "--format=tar", previous)
	archive.Dir = ".."
	var problems bytes.Buffer
	archive.Stderr = &problems
	files, err := archive.Output()
	if err != nil {
		t.Fatalf("this copy has no history, and without it nobody knows whether the program before runs on the new schema: "+
			"take a full clone (git fetch --unshallow): git archive %s: %v\n%s", previous, err, &problems)
	}
	dir := t.TempDir()
	if err := unpack(dir, files); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", to, "./cmd/sallyport")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "PWD="+dir)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program before: %v\n%s", err, out)
	}
}

// unpack writes the files of an archive.
func unpack(dir string, archive []byte) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case header.Typeflag != tar.TypeReg:
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := errors.Join(root.MkdirAll(filepath.Dir(header.Name), 0o700), root.WriteFile(header.Name, text, 0o600)); err != nil {
			return err
		}
	}
}

// In a rolling upgrade, and after one that is taken back, the program before runs on the
// schema of this one: it starts, takes deliveries, settles and lets in. This one goes on
// from there.
func TestTheProgramBeforeRunsOnTheNewSchema(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours, before := filepath.Join(dir, "sallyport"), filepath.Join(dir, "before")
	if err := os.Link(program, ours); err != nil {
		t.Fatal(err)
	}
	buildPrevious(t, before)
	g := newGalaxy(t, sandbox.Config{Program: ours})
	g.must(newCustomer(g.w, 7).buys(g.ctx))
	g.allDone()
	steps := g.books.count(`SELECT max(version_id) FROM goose_db_version`)

	turnTo := func(path string) {
		t.Helper()
		control(t, g.w, "stop")
		g.must(os.Remove(ours))
		g.must(os.Link(path, ours))
		control(t, g.w, "start")
		eventually(t, func() error {
			request, err := http.NewRequestWithContext(g.ctx, http.MethodGet, g.w.Ready().AppURL+"/readyz", http.NoBody)
			if err != nil {
				return err
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				return fmt.Errorf("not ready: %s; it said last:\n%s", answer.Status, g.w.ProductTail())
			}
			return nil
		})
	}
	turnTo(before)
	g.books.Before = true
	g.must(newCustomer(g.w, 8).buys(g.ctx)) // somebody new, and somebody known
	g.must(g.customer(9).buys(g.ctx))
	again := newCustomer(g.w, 7)
	again.known = true
	g.must(again.buys(g.ctx))
	g.connects(g.key(8))
	g.allDone()
	if n := g.books.count(`SELECT max(version_id) FROM goose_db_version`); n != steps {
		t.Errorf("the program before left step %d, not %d", n, steps)
	}
	turnTo(program)
	g.must(newCustomer(g.w, 10).buys(g.ctx))
	g.must(again.buys(g.ctx))
	g.allDone()
}
