package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caarlos0/env/v11"
	"github.com/google/go-cmp/cmp"
	"github.com/joho/godotenv"
)

var update = flag.Bool("update", false, "write docs/configuration.md from the code")

// markdown turns the text of a tag, which cannot hold backquotes, into a cell.
func markdown(doc string) string {
	quotes := regexp.MustCompile(`'([^' ](?:[^']*[^' ])?)'`)
	return strings.ReplaceAll(quotes.ReplaceAllString(doc, "`$1`"), "|", `\|`)
}

// configurationPage is docs/configuration.md as the code says.
func configurationPage() string {
	var page strings.Builder
	page.WriteString(`# Configuration

This page is written from the code by ` + "`go test ./cmd/sallyport -run Configuration -update`" + `, and a test compares the two.

## Settings

From the environment, and from ` + "`.env`" + ` in the working directory where the environment is silent. Bad settings stop the
start, and all of them are named at once, with what they look like and what is expected.

A secret can also lie in a file, as systemd and containers hand them out: ` + "`BOT_TOKEN_FILE=/run/secrets/bot_token`" + ` instead
of ` + "`BOT_TOKEN`" + `. Secrets are never shown, neither in logs nor in errors.

| variable | required | default | meaning |
| --- | --- | --- | --- |
`)
	for _, s := range settings() {
		required, fallback, secrecy := "no", "", ""
		if s.required {
			required = "yes"
		}
		if s.fallback != "" {
			fallback = "`" + s.fallback + "`"
		}
		if s.isSecret {
			secrecy = "; secret, or in the file `" + s.name + "_FILE`"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s%s |\n", s.name, required, fallback, markdown(s.doc), secrecy)
	}
	page.WriteString(`
## Catalogue

The file that ` + "`CATALOGUE`" + ` names, in YAML: [catalogue.example.yaml](../catalogue.example.yaml) is one with comments. An unknown
key is an error. It is read at the start, and again on SIGHUP (` + "`systemctl reload sallyport`" + `): if it is wrong then, the
shop goes on with the one it has, and the log and ` + "`/healthz`" + ` say what is wrong. Of several processes each must be told; the
version in ` + "`/healthz`" + ` says which catalogue is in force there.

| key | meaning |
| --- | --- |
`)
	catalogueKeys(&page, reflect.TypeFor[catalogueFile](), "")
	return page.String()
}

func catalogueKeys(page *strings.Builder, t reflect.Type, prefix string) {
	for field := range t.Fields() {
		key := prefix + field.Tag.Get("yaml")
		fmt.Fprintf(page, "| `%s` | %s |\n", key, markdown(field.Tag.Get("doc")))
		switch {
		case field.Type.Kind() == reflect.Slice:
			catalogueKeys(page, field.Type.Elem(), key+"[].")
		case field.Type.Kind() == reflect.Struct:
			catalogueKeys(page, field.Type, key+".")
		}
	}
}

func TestConfigurationPageIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	want := configurationPage()
	if *update {
		if err := os.WriteFile(inRoot("docs/configuration.md"), []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, readDoc(t, "docs/configuration.md")); diff != "" {
		t.Errorf("docs/configuration.md (+) differs from the code (-):\n%s", diff)
	}
	if strings.Contains(want, "|  |\n") {
		t.Error("something has no meaning")
	}
}

func TestEnvExampleTellsEverySetting(t *testing.T) {
	t.Parallel()
	set, err := godotenv.Read(inRoot(".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]setting)
	for _, s := range settings() {
		known[s.name] = s
	}
	told := slices.Collect(maps.Keys(set))
	for name := range set {
		if !known[name].required {
			t.Errorf("%s: there is none, or it is not required", name)
		}
	}
	for _, line := range regexp.MustCompile(`(?m)^# ([A-Z_]+)=(.*)$`).FindAllStringSubmatch(readDoc(t, ".env.example"), -1) {
		told = append(told, line[1])
		s, ok := known[line[1]]
		if !ok || s.required || s.fallback != line[2] && line[1] != "CRYPTOPAY_RETURN_URL" {
			t.Errorf("%s: the default is %q", line[0], s.fallback)
		}
	}
	slices.Sort(told)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(known)), told); diff != "" {
		t.Errorf(".env.example (+) differs from config (-):\n%s", diff)
	}
	set["BOT_TOKEN"], set["WEBHOOK_SECRET"], set["CRYPTOPAY_TOKEN"] = testBotToken, testSecret, testPayToken
	filled, err := env.ParseAsWithOptions[config](env.Options{Environment: set})
	if err == nil {
		err = filled.validate()
	}
	if err != nil {
		t.Errorf("filled in, it is refused: %v", err)
	}
}
