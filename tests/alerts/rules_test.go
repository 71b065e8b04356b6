package alerts_test

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/template"

	"sallyport/api"
)

func rules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	found, err := readRules()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// alertOf names the alert of a code.
func alertOf(code string) string {
	name := "Sallyport"
	for word := range strings.SplitSeq(code, "_") {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.ReplaceAll(name, "Cryptopay", "CryptoPay")
}

func TestEveryRuleSaysWhatItMeansAndWhatToDo(t *testing.T) {
	t.Parallel()
	sections := manual(t)
	var names []string
	for _, r := range rules(t) {
		names = append(names, r.Alert)
		if !regexp.MustCompile(`^Sallyport([A-Z][a-z0-9]+)+$`).MatchString(r.Alert) {
			t.Errorf("%s: not a name of ours", r.Alert)
		}
		if severity := r.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s: severity %q", r.Alert, severity)
		}
		if time.Duration(r.For) > 10*time.Minute {
			t.Errorf("%s: waits for %s", r.Alert, r.For)
		}
		for _, name := range []string{"summary", "description", "todo"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s: no %s", r.Alert, name)
			}
		}
		heading, found := strings.CutPrefix(r.Annotations["runbook"], "docs/operations.md#")
		if !found || !slices.ContainsFunc(mapKeys(sections), func(h string) bool { return anchor(h) == heading }) {
			t.Errorf("%s: no heading for %q", r.Alert, r.Annotations["runbook"])
		}
		expand(t, r)
	}
	slices.Sort(names)
	if len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("a name is there twice: %v", names)
	}
}

func mapKeys(m map[string]string) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}

// expand fills in the annotations as Prometheus does.
func expand(t *testing.T, r rulefmt.Rule) {
	t.Helper()
	data := template.AlertTemplateData(map[string]string{"component": "c", "code": "c", "host": "h", "node": "n", "kind": "k", "pool": "p", "receiver": "r", "instance": "i"}, nil, "", promql.Sample{F: 0.5})
	for name, text := range r.Annotations {
		filled, err := template.NewTemplateExpander(t.Context(), "{{$labels := .Labels}}{{$value := .Value}}"+text, r.Alert, data, model.Now(), nil, &url.URL{}, nil).Expand()
		if err != nil || strings.Contains(filled, "<no value>") || strings.Contains(filled, "{{") {
			t.Errorf("%s: %s: %q, %v", r.Alert, name, filled, err)
		}
	}
}

// TestEveryCodeHasARule: and its words are those that the operator's chat reads.
func TestEveryCodeHasARule(t *testing.T) {
	t.Parallel()
	texts, found := textsOf(t, "en"), make(map[string]rulefmt.Rule)
	for _, r := range rules(t) {
		found[r.Alert] = r
	}
	for _, code := range api.Codes() {
		r, there := found[alertOf(code)]
		switch {
		case !there:
			t.Errorf("%s: no rule %s", code, alertOf(code))
		case !strings.Contains(r.Expr, `sallyport_component_status{code="`+code+`"}`):
			t.Errorf("%s: %s", r.Alert, r.Expr)
		case r.Annotations["runbook"] != "docs/operations.md#"+code:
			t.Errorf("%s: leads to %s", r.Alert, r.Annotations["runbook"])
		case r.Annotations["summary"] != texts["alert."+code] || r.Annotations["todo"] != texts["alert."+code+".todo"]:
			t.Errorf("%s: the operator's chat says %q, %q", r.Alert, texts["alert."+code], texts["alert."+code+".todo"])
		}
		delete(found, alertOf(code))
	}
	sections := manual(t)
	for name := range found {
		if !strings.Contains(sections[name], "### "+name+"\n") {
			t.Errorf("%s: docs/operations.md has no section", name)
		}
	}
}

// selectors returns what an expression reads.
func selectors(t *testing.T, expr string) (found []*parser.VectorSelector) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatalf("%v in %s", err, expr)
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			found = append(found, s)
		}
		return nil
	})
	return found
}

// metric is the name that a selector asks for.
func metric(s *parser.VectorSelector) string {
	for _, m := range s.LabelMatchers {
		if m.Name == labels.MetricName {
			return m.Value
		}
	}
	return s.Name
}

// checkSelector says whether the running shop has what a selector reads. Labels that
// appear with the event that they tell of are taken as they are.
func checkSelector(t *testing.T, p *prometheus, where string, s *parser.VectorSelector) {
	t.Helper()
	name := metric(s)
	if !p.knows(name) {
		t.Errorf("%s: the shop has no %s", where, name)
		return
	}
	for _, m := range s.LabelMatchers {
		values := p.labelValues(name, m.Name)
		switch {
		case m.Name == labels.MetricName || m.Name == "job":
		case m.Name == "code" && name == "sallyport_component_status":
			if !slices.Contains(api.Codes(), m.Value) {
				t.Errorf("%s: there is no code %s", where, m.Value)
			}
		case slices.Equal(values, []string{""}):
			t.Errorf("%s: %s has no label %s", where, name, m.Name)
		case m.Type == labels.MatchEqual && !slices.Contains(values, m.Value):
			t.Errorf("%s: %s has %s %q, not %q", where, name, m.Name, values, m.Value)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
