package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"sallyport/shop"
)

// environment puts the process into an empty folder and a known environment.
func environment(t *testing.T, values map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, line := range os.Environ() {
		name, _, _ := strings.Cut(line, "=")
		if strings.HasPrefix(name, "CRYPTOPAY_") || strings.HasPrefix(name, "DB_") || name == "BOT_TOKEN" || name == "DATABASE_URL" {
			t.Setenv(name, "")
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range values {
		t.Setenv(name, value)
	}
}

func good() map[string]string {
	return map[string]string{
		"BOT_TOKEN": testBotToken, "PUBLIC_URL": "https://shop.example", "WEBHOOK_SECRET": testSecret,
		"CRYPTOPAY_TOKEN": testPayToken, "DATABASE_URL": "postgres://app:hunter2@db/shop", "CRYPTOPAY_ASSETS": "USDT, TON",
	}
}

func TestConfigurationIsReadFromTheEnvironmentAndItsFile(t *testing.T) {
	values := good()
	delete(values, "PUBLIC_URL")
	environment(t, values)
	if err := os.WriteFile(".env", []byte("PUBLIC_URL=https://file.example/\nBOT_TOKEN=999:ignored\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readConfig()
	if err != nil {
		t.Fatal(err)
	}
	if c.under("/x") != "https://file.example/x" || string(c.BotToken) != testBotToken || fmt.Sprint(c.CryptoPayAssets) != "[USDT TON]" {
		t.Errorf("%s %v", c.under("/x"), c.CryptoPayAssets)
	}
}

func TestEveryProblemIsReportedAtOnceAndNoSecretWithIt(t *testing.T) {
	values := good()
	for name, value := range map[string]string{
		"BOT_TOKEN": "not-a-token-hunter2", "WEBHOOK_SECRET": "short-hunter2", "PUBLIC_URL": "no-address", "DATABASE_URL": "mysql://u:hunter2@db",
		"CRYPTOPAY_TOKEN": "", "CRYPTOPAY_ASSETS": "usdt", "DB_WEB_CONNECTIONS": "many", "TIMEZONE": "Nowhere/Else", "LOG_LEVEL": "loud",
		"EXPIRE_EVERY": "0s",
	} {
		values[name] = value
	}
	environment(t, values)
	c, err := readConfig()
	if err == nil {
		t.Fatal("accepted")
	}
	for name := range map[string]bool{
		"BOT_TOKEN": true, "WEBHOOK_SECRET": true, "PUBLIC_URL": true, "DATABASE_URL": true, "CRYPTOPAY_TOKEN": true,
		"CRYPTOPAY_ASSETS": true, "DB_WEB_CONNECTIONS": true, "TIMEZONE": true, "LOG_LEVEL": true, "EXPIRE_EVERY": true,
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not reported", name)
		}
	}
	for _, shape := range []string{
		"BOT_TOKEN: got 19 characters, want what @BotFather gave", "CRYPTOPAY_TOKEN: got nothing,", `DB_WEB_CONNECTIONS: got "many", want a whole number`,
		`PUBLIC_URL: got "no-address",`, `CRYPTOPAY_ASSETS: got "usdt",`, `EXPIRE_EVERY, CHECK_NODES_EVERY, POLL_INVOICES_EVERY, SWEEP_PAYMENTS_EVERY: got "0s" and "1s" and`,
	} {
		if !strings.Contains(err.Error(), shape) {
			t.Errorf("not said: %s\n%v", shape, err)
		}
	}
	shown, jsonErr := json.Marshal(c)
	if jsonErr != nil || strings.Contains(err.Error()+string(shown)+fmt.Sprintf("%v %+v %#v", c.BotToken, c.DatabaseURL, c.WebhookSecret), "hunter2") {
		t.Errorf("a secret is shown: %v", err)
	}
}

func TestASecretMayLieInAFile(t *testing.T) {
	values := good()
	delete(values, "BOT_TOKEN")
	environment(t, values)
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("BOT_TOKEN_FILE", write("token", testBotToken+"\n"))
	if err := os.WriteFile(".env", []byte("APP_KEY_FILE="+write("key", " a2V5 ")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readConfig()
	if err != nil || string(c.BotToken) != testBotToken || c.AppKey != "a2V5" {
		t.Errorf("%v, %d characters, %d characters", err, len(c.BotToken), len(c.AppKey))
	}
	t.Setenv("BOT_TOKEN_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("APP_KEY_FILE", write("large", strings.Repeat("hunter2", 1000)))
	t.Setenv("WEBHOOK_SECRET_FILE", write("twice", "hunter2"))
	_, err = readConfig()
	for _, want := range []string{"BOT_TOKEN_FILE: want a readable file", "APP_KEY_FILE: ", "at most 4096 bytes", "WEBHOOK_SECRET_FILE: want either it or WEBHOOK_SECRET"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("not said: %s\n%v", want, err)
		}
	}
}

func TestAPasswordInAnAddressIsNotQuoted(t *testing.T) {
	values := good()
	values["PUBLIC_URL"] = "https://user:hunter2@shop.example"
	environment(t, values)
	if _, err := readConfig(); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "shop.example") {
		t.Error(err)
	}
}

func TestTelegramMustBeAbleToReachThePublicAddress(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"https://shop.example": true, "https://shop.example:8443/x": true, "https://203.0.113.5": true, "http://127.0.0.1:8080": true,
		"https://localhost:4443": true, "https://nolocalhost:4443": false,
		"http://shop.example": false, "https://shop.example:9999": false, "https://user:pw@shop.example": false, "shop.example": false, "": false,
	} {
		if isPublic(address) != good {
			t.Errorf("%q: %v", address, !good)
		}
	}
}

func TestAnUnreadableFileIsNotQuoted(t *testing.T) {
	environment(t, good())
	if err := os.WriteFile(".env", []byte("A-B=1\nBOT_TOKEN=1:hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

func TestCatalogueReportsEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "catalogue.yaml")
	text := `support: ""
limits: {prepaid: forever, orders_per_hour: -1}
plans:
  - {id: "Basic!", name: {ru: Базовый}, periods: [{length: 500ms, rub: "10"}, {length: 30d, rub: "-1", stars: 0.5}]}
  - {id: plus, name: {en: Plus}, periods: []}
nodes:
  - {name: de1, host: "", port: 0, public_key: short, short_id: xyz}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := readCatalogue(path)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"support", "prepaid", "orders_per_hour", "id:", "name.en", "500ms", "rub", "stars", "want 1 to 12", "title", "api", "inbound", "host", "port"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not reported: %v", want, err)
		}
	}
	if _, _, err := readCatalogue(path + ".none"); err == nil {
		t.Error("a catalogue that is not there was read")
	}
	if err := os.WriteFile(path, []byte("plans: []\nnonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readCatalogue(path); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a misspelt key: %v", err)
	}
}

func TestAPriceInStarsIsAWholeNumberOrNothing(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"": 0, ", stars: 1": 1, ", stars: 99": 99, `, stars: "99"`: 99, ", stars: 10000": 10000, ", stars:": 0,
		", stars: 0": -1, ", stars: 10001": -1, ", stars: -5": -1, ", stars: 9.5": -1, ", stars: many": -1, ", stars: 1e3": -1,
		", stars: 0x10": -1, ", stars: 99999999999999999999": -1,
	} {
		file := fmt.Sprintf("{length: 30d, rub: \"149\"%s}", text)
		var p periodFile
		if err := yaml.Unmarshal([]byte(file), &p); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		sold, err := p.period()
		switch {
		case want < 0:
			if err == nil || !strings.Contains(err.Error(), `period "30d": stars: want a whole number from 1 to 10000`) {
				t.Errorf("%s: %v", file, err)
			}
		case want == 0:
			if err != nil || sold.Stars != (shop.Money{}) {
				t.Errorf("%s: %+v, %v", file, sold, err)
			}
		case err != nil || sold.Stars != (shop.Money{Minor: want, Currency: shop.XTR}) || sold.Price.Minor != 14900:
			t.Errorf("%s: %+v, %v", file, sold, err)
		}
	}
}

func FuzzCatalogue(f *testing.F) {
	f.Add("support: x\nplans: []\nnodes: []\n")
	f.Add("plans: [{id: a, periods: [{length: 1d, rub: 1}]}]")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, nodes, err := readCatalogue(path)
		if err == nil && (len(c.Plans) == 0 || len(nodes) == 0 || c.Support == "") {
			t.Errorf("accepted %q", text)
		}
	})
}

// A standby takes no writes: of several servers, the one that does is the database.
func TestOfSeveralServersTheOneThatTakesWritesIsTheDatabase(t *testing.T) {
	t.Parallel()
	const also = "target_session_attrs=read-write"
	for address, want := range map[string]string{
		"postgres://u:p@one:5432/shop":                                                    "",
		"postgres://u:p@one/shop?sslmode=prefer":                                          "",
		"postgres://u:p@/shop?host=/var/run/postgresql":                                   "",
		"postgres://u:p@one:5432,two:5432/shop":                                           "?" + also,
		"postgres://u:p@one,two/shop?sslmode=verify-full":                                 "&" + also,
		"postgres://u:p@one:5432,one:5433/shop?sslmode=disable":                           "&" + also,
		"postgres://u:p@one,two/shop?target_session_attrs=prefer-standby&sslmode=disable": "",
		"no address": "",
	} {
		if got := writable(address); got != address+want {
			t.Errorf("%s became %s", address, got)
		}
	}
}
