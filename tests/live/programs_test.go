package live_test

import (
	"go/version"
	"os"
	"regexp"
	"testing"
)

// What the installer would fetch must be able to build the product.
func TestThePinnedGoIsNewEnough(t *testing.T) {
	t.Parallel()
	pinned, err := pinnedGo()
	must(t, err)
	for _, file := range []string{"../../go.mod", "../../tools/xray/go.mod"} {
		text, err := os.ReadFile(file)
		must(t, err)
		wanted := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(text)
		if wanted == nil || version.Compare("go"+pinned, "go"+string(wanted[1])) < 0 {
			t.Errorf("%s wants Go %s; deploy/programs.sh fetches %s", file, wanted, pinned)
		}
	}
}
