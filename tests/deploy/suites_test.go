package deploy_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// suites runs the script of the tests with a Go that only notes what it is asked for, and
// fails in the folder.
func suites(t *testing.T, which, fails string) (asked []string, said string, err error) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "asked")
	write(t, filepath.Join(dir, "go"), `#!/bin/sh
if [ "$1" = list ]; then
	printf '%s\n' sallyport/shop sallyport/cmd/bench sallyport/sandbox sallyport/tests/soak sallyport/xray
	exit
fi
echo "$*" >>`+log+`
[ "$3" != "`+fails+`" ]
`)
	for _, program := range []string{"chromium", "shellcheck"} { // nothing is to be installed
		write(t, filepath.Join(dir, program), "#!/bin/sh\n")
	}
	for _, program := range []string{"go", "chromium", "shellcheck"} {
		if err := os.Chmod(filepath.Join(dir, program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script := exec.CommandContext(t.Context(), "scripts/test.sh", which)
	script.Dir = inRoot("")
	script.Env = append(os.Environ(), "GO="+filepath.Join(dir, "go"), "TESTFLAGS=-run 'A|B C'", "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := script.CombinedOutput()
	return strings.Split(strings.TrimSpace(read(t, log)), "\n"), string(out), err
}

func TestQuickTestsBootNoServer(t *testing.T) {
	t.Parallel()
	asked, said, err := suites(t, "quick", "nothing")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if len(asked) != 1 || !strings.HasSuffix(asked[0], " sallyport/shop sallyport/xray") || !strings.Contains(asked[0], " -race ") ||
		!strings.Contains(asked[0], " -run A|B C ") {
		t.Errorf("asked for %q", asked)
	}
}

// TestEverySuiteRunsThoughOneFails: and the end says which, by the status too.
func TestEverySuiteRunsThoughOneFails(t *testing.T) {
	t.Parallel()
	asked, said, err := suites(t, "all", ".")
	if exit, failed := errors.AsType[*exec.ExitError](err); !failed || exit.ExitCode() != 1 {
		t.Errorf("ended with %v", err)
	}
	all := strings.Join(asked, "\n")
	modules, err := filepath.Glob(inRoot("tests/*/go.mod"))
	if err != nil || len(modules) < 6 {
		t.Fatalf("%v, %v", modules, err)
	}
	for _, module := range modules {
		if name := "tests/" + filepath.Base(filepath.Dir(module)); strings.Count(all, "test -C "+name+" ") != 1 || !strings.Contains(said, "=== ") {
			t.Errorf("%s was not run once:\n%s", name, all)
		}
	}
	for _, name := range []string{"sallyport/shop", "sallyport/sandbox", "sallyport/tests/soak", "sallyport/cmd/bench"} {
		if strings.Count(all+"\n", " "+name) == 0 {
			t.Errorf("%s was not run:\n%s", name, all)
		}
	}
	if strings.Count(said, "\nFAILED ") != 2 || strings.Count(said, "\nok ") != len(modules) {
		t.Errorf("it said\n%s", said)
	}
}
