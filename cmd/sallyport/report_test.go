package main

import (
	"bytes"
	"strings"
	"testing"

	"sallyport/api"
)

// TestHealthNamesTheCode: the code is where the manual is looked up.
func TestHealthNamesTheCode(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := printReport(&out, api.Report{State: api.StateDegraded, Version: "v1", Components: map[string]api.Component{
		"inbox": {Finding: api.Together(
			api.Finding{State: api.StateDegraded, Code: api.CodeInboxDead, Reason: "1 updates were put aside"},
			api.Finding{State: api.StateDegraded, Code: api.CodeInboxLate, Reason: "2 updates wait"},
		)},
		"telegram": {Finding: api.Finding{State: api.StateOK}},
		"webhook":  {Finding: api.Finding{State: api.StateDegraded, Code: api.CodeWebhookMissing}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	want := "degraded sallyport v1|degraded inbox inbox_late: 2 updates wait|degraded inbox inbox_dead: 1 updates were put aside|ok telegram|degraded webhook webhook_missing"
	if got := strings.Join(lines, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
