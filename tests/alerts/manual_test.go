package alerts_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"sallyport/api"
)

// manual returns docs/operations.md by its headings.
func manual(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(manualFile)
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	heading := ""
	for line := range strings.Lines(string(text)) {
		if title, isHeading := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); isHeading && strings.HasPrefix(line, "##") {
			heading = strings.TrimSpace(title)
			if _, twice := sections[heading]; twice {
				t.Errorf("the heading %q is there twice", heading)
			}
		}
		sections[heading] += line
	}
	return sections
}

// statements returns the SQL of a section, those that match alone.
func statements(section string, match string) (found []string) {
	for _, block := range regexp.MustCompile("(?ms)^ *```sql\n(.*?)^ *```").FindAllStringSubmatch(section, -1) {
		if regexp.MustCompile(match).MatchString(block[1]) {
			found = append(found, strings.TrimSpace(block[1]))
		}
	}
	return found
}

// anchor is where a heading is found, as Markdown pages are shown.
func anchor(heading string) string {
	kept := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(kept, " ", "-")
}

func TestEveryStatementOfTheManualRuns(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	ran := 0
	for heading, section := range manual(t) {
		for _, statement := range statements(section, "") {
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Errorf("%s: %v in\n%s", heading, err, statement)
			}
			ran++
		}
	}
	if ran < 15 {
		t.Errorf("%d statements were found", ran)
	}
}

func TestTheManualLeadsToWhatIsThere(t *testing.T) {
	t.Parallel()
	sections := manual(t)
	var anchors []string
	for heading := range sections {
		anchors = append(anchors, anchor(heading))
	}
	for _, section := range sections {
		for _, link := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(section, -1) {
			if !slices.Contains(anchors, link[1]) {
				t.Errorf("there is no heading for #%s", link[1])
			}
		}
	}
}

func TestEveryCodeHasItsSectionAndItsTexts(t *testing.T) {
	t.Parallel()
	sections, codes := manual(t), api.Codes()
	for _, code := range codes {
		for _, part := range []string{"**What it means.**", "**What to do.**", "**By itself.**"} {
			if !strings.Contains(sections[code], "### "+code+"\n") || !strings.Contains(sections[code], part) {
				t.Errorf("docs/operations.md has no %s on %s", part, code)
			}
		}
		for _, language := range []string{"en", "ru"} {
			texts := textsOf(t, language)
			if texts["alert."+code] == "" || texts["alert."+code+".todo"] == "" {
				t.Errorf("%s.json has no text for %s", language, code)
			}
		}
	}
	told := regexp.MustCompile(`^alert\.([a-z_]+)$`)
	for key := range textsOf(t, "en") {
		if m := told.FindStringSubmatch(key); m != nil && m[1] != "begins" && m[1] != "lasts" && m[1] != "ends" && !slices.Contains(codes, m[1]) {
			t.Errorf("%s is the text of no code", key)
		}
	}
}
