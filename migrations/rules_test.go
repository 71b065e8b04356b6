package migrations_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ruled is the first step that keeps the rules; those before had shipped.
const ruled = 8

// small are the tables that have a row for each node, process or incident: to read them
// takes no time.
var small = []string{"nodes", "processes", "incidents", "webhook_secrets", "ends", "backups", "operator_chats"}

// What a step may not do to a table that others use, and what does it instead.
func refusals() map[*regexp.Regexp]string {
	return map[*regexp.Regexp]string{
		regexp.MustCompile(`(?i)\b(RENAME|DROP COLUMN|DROP TABLE|TRUNCATE)\b`): "the program before still uses it",
		regexp.MustCompile(`(?i)\bALTER COLUMN \w+ (SET DATA )?TYPE\b`):        "it rewrites the table under a lock",
		regexp.MustCompile(`(?i)\bSET NOT NULL\b`):                             "it reads the table under a lock: CHECK (... IS NOT NULL) NOT VALID, then VALIDATE",
		regexp.MustCompile(`(?i)^\s*(LOCK|VACUUM|CLUSTER|REINDEX)\b`):          "it has no place in a step",
	}
}

// step is the way up of a file, by statements; those of functions are left out.
type step struct {
	name       string
	statements []string
	own        bool            // it is no transaction
	created    map[string]bool // tables that the step itself makes
}

func readStep(t *testing.T, path string) step {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	up, _, _ := strings.Cut(string(text), "-- +goose Down")
	s := step{name: filepath.Base(path), own: strings.Contains(up, "-- +goose NO TRANSACTION"), created: make(map[string]bool)}
	up = regexp.MustCompile(`(?s)-- \+goose StatementBegin.*?-- \+goose StatementEnd`).ReplaceAllString(up, "")
	up = regexp.MustCompile(`--[^\n]*`).ReplaceAllString(up, "")
	up = regexp.MustCompile(`'[^']*'`).ReplaceAllString(up, "''")
	for statement := range strings.SplitAfterSeq(up, ";") {
		statement = strings.Join(strings.Fields(statement), " ")
		if made := regexp.MustCompile(`(?i)^CREATE TABLE (?:IF NOT EXISTS )?(\w+)`).FindStringSubmatch(statement); made != nil {
			s.created[made[1]] = true
		}
		if statement != "" {
			s.statements = append(s.statements, statement)
		}
	}
	return s
}

// faults returns what is wrong with the step.
func (s step) faults() (found []string) {
	fault := func(statement, why string) { found = append(found, s.name+": "+statement+" "+why) }
	ddl, filled := false, ""
	for i, statement := range s.statements {
		for rule, why := range refusals() {
			if rule.MatchString(statement) {
				fault(statement, why)
			}
		}
		switch {
		case regexp.MustCompile(`(?i)^CREATE (UNIQUE )?INDEX`).MatchString(statement):
			found = append(found, s.indexFaults(i)...)
		case regexp.MustCompile(`(?i)^DROP INDEX`).MatchString(statement) && !strings.Contains(statement, "CONCURRENTLY"):
			fault(statement, "waits for every reader of the table: CONCURRENTLY")
		case regexp.MustCompile(`(?i)^ALTER TABLE`).MatchString(statement):
			ddl = true
			if strings.Contains(statement, "VALIDATE CONSTRAINT") && !s.own {
				fault(statement, "reads the table under the lock of its transaction: a file with -- +goose NO TRANSACTION")
			}
			for clause := range strings.SplitSeq(statement, ",") {
				if regexp.MustCompile(`(?i)\bADD (COLUMN )?\w+ .*\bNOT NULL\b`).MatchString(clause) && !strings.Contains(clause, "DEFAULT") {
					fault(clause, "the program before does not fill it: it needs a DEFAULT")
				}
			}
			checks := regexp.MustCompile(`(?i)\bADD (CONSTRAINT \w+ )?(CHECK|FOREIGN KEY)\b`).FindAllString(statement, -1)
			table := strings.Fields(statement)[2]
			if len(checks) > strings.Count(statement, "NOT VALID") && !s.created[table] && !slices.Contains(small, table) {
				fault(statement, "reads the table under a lock: NOT VALID, then VALIDATE CONSTRAINT in a statement of its own")
			}
		case regexp.MustCompile(`(?i)^(UPDATE|DELETE)\b`).MatchString(statement):
			filled = statement
		}
	}
	if ddl && filled != "" {
		fault(filled, "changes rows while the tables are locked: a step of its own")
	}
	return found
}

// indexFaults judges the index that statement i makes. One that was left half made by a try
// that failed is made anew, and to wait for others is all right: nobody waits behind it.
func (s step) indexFaults(i int) []string {
	made := regexp.MustCompile(`(?i)^CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?(\w+) ON (\w+)`).FindStringSubmatch(s.statements[i])
	switch {
	case made == nil:
		return []string{s.name + ": an index has a name: " + s.statements[i]}
	case s.created[made[3]]:
		return nil
	case made[1] == "" || !s.own:
		return []string{s.name + ": " + made[2] + " keeps others from writing while it is made: CONCURRENTLY, in a file with -- +goose NO TRANSACTION"}
	case i == 0 || s.statements[i-1] != "DROP INDEX CONCURRENTLY IF EXISTS "+made[2]+";":
		return []string{s.name + ": before " + made[2] + " goes DROP INDEX CONCURRENTLY IF EXISTS " + made[2] + ": a try that failed leaves half of it"}
	case s.statements[0] != "SET lock_timeout = 0;" || s.statements[len(s.statements)-1] != "RESET lock_timeout;":
		return []string{s.name + ": an index that is made beside others waits for them: SET lock_timeout = 0 first, RESET lock_timeout last"}
	default:
		return nil
	}
}

func TestStepsHoldNobodyUpAndRunUnderTheProgramBefore(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		version, err := strconv.Atoi(file[:4])
		if err != nil || !regexp.MustCompile(`^\d{4}_[a-z_]+\.sql$`).MatchString(file) {
			t.Errorf("%s: a step is called NNNN_words.sql", file)
			continue
		}
		if version < ruled {
			continue
		}
		for _, fault := range readStep(t, file).faults() {
			t.Error(fault)
		}
	}
}

func TestTheRulesOfStepsFindWhatBreaksThem(t *testing.T) {
	t.Parallel()
	for sql, faults := range map[string]int{
		"CREATE INDEX a ON orders (b);":                                        1,
		"DROP INDEX a;":                                                        1,
		"ALTER TABLE orders DROP COLUMN b;":                                    1,
		"ALTER TABLE orders RENAME b TO c;":                                    1,
		"ALTER TABLE orders ADD COLUMN b text NOT NULL;":                       1,
		"ALTER TABLE orders ADD COLUMN b text NOT NULL DEFAULT '';":            0,
		"ALTER TABLE orders ADD COLUMN b text;":                                0,
		"ALTER TABLE orders ALTER COLUMN b SET NOT NULL;":                      1,
		"ALTER TABLE orders ADD CONSTRAINT c CHECK (b > 0);":                   1,
		"ALTER TABLE nodes ADD CHECK (b > 0);":                                 0,
		"ALTER TABLE orders VALIDATE CONSTRAINT c;":                            1,
		"ALTER TABLE orders ADD CONSTRAINT c CHECK (b > 0) NOT VALID;":         0,
		"ALTER TABLE orders ADD COLUMN b int; UPDATE orders SET b = 1;":        1,
		"CREATE TABLE new (a int NOT NULL); CREATE INDEX new_a ON new (a);":    0,
		"-- +goose NO TRANSACTION\nCREATE INDEX CONCURRENTLY a ON orders (b);": 1,
		"-- +goose NO TRANSACTION\nSET lock_timeout = 0;\nDROP INDEX CONCURRENTLY IF EXISTS a;\n" +
			"CREATE INDEX CONCURRENTLY a ON orders (b);\nRESET lock_timeout;": 0,
	} {
		path := filepath.Join(t.TempDir(), "0099_try.sql")
		if err := os.WriteFile(path, []byte("-- +goose Up\n"+sql+"\n-- +goose Down\nDROP TABLE x;\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if found := readStep(t, path).faults(); len(found) != faults {
			t.Errorf("%s\n%d faults: %q", sql, len(found), found)
		}
	}
}
