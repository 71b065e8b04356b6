package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCommittedCodeIsWhatTheProtoGivesNow(t *testing.T) {
	t.Parallel()
	files, err := Generate(t.Context(), "../../xray/node.proto")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no files generated")
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../../xray/xrayapi", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is stale: run go generate ./xray/xrayapi", name)
		}
	}
}
