package alerts_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// small runs the product with, if the file FULL is there, a disk at TLS_DIR that is
// small and nearly full, and that nobody else sees.
const small = `#!/bin/bash
[[ -e $FULL ]] || exec "%[1]s" "$@"
(($(id -u) == 0)) || as=(--user --map-root-user)
exec unshare --mount "${as[@]}" bash -euc '
	mount -t tmpfs -o size=64m none "$TLS_DIR"
	head -c 64000000 /dev/zero >"$TLS_DIR/backups"
	exec "$0" "$@"' "%[1]s" "$@"
`

func TestTheDisk(t *testing.T) {
	t.Parallel()
	s, dir := prepare(t), t.TempDir()
	full := filepath.Join(dir, "full")
	s.program = filepath.Join(dir, "small")
	if err := os.WriteFile(s.program, fmt.Appendf(nil, small, program), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.start("FULL="+full, "TLS_DIR="+filepath.Join(dir, "tls"))
	if err := s.person(operator).Write("/start"); err != nil {
		t.Fatal(err)
	}
	again := func(change func() error) func(*scene) {
		return func(s *scene) {
			s.product("stop")
			if err := change(); err != nil {
				s.t.Fatal(err)
			}
			s.product("start")
		}
	}
	plays(t, s, []trouble{{
		code: "disk_full", alerts: []string{"SallyportDiskFull"},
		breaks: again(func() error { return os.WriteFile(full, nil, 0o600) }),
		cures:  again(func() error { return os.Remove(full) }),
	}})
}
