package deploy_test

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// answers are what an operator knows, for the tests.
func answers() map[string]string {
	return map[string]string{
		"PUBLIC_URL": "https://shop.example.com:8443", "COVER_SITE": "cover.example.org",
		"BOT_TOKEN": "123456:AAHnotarealtokenbutlongenough000000", "CRYPTOPAY_TOKEN": "12345:AAnotarealtokeneither",
	}
}

// checkout returns a folder with what an operator has who has just cloned the repository,
// as far as compose needs it.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, path := range append(files(t, "deploy"), "docker-compose.yml", "catalogue.example.yaml", "migrations/schema.txt") {
		write(t, filepath.Join(dir, path), read(t, inRoot(path)))
	}
	return dir
}

// initialise runs compose-init.sh in a checkout and returns what it printed.
func initialise(t *testing.T, dir string, answers map[string]string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "deploy", "compose-init.sh"))
	command.Env = []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range answers {
		command.Env = append(command.Env, name+"="+value)
	}
	out, err := command.CombinedOutput()
	return string(out), err
}

func initialised(t *testing.T) string {
	t.Helper()
	dir := checkout(t)
	if out, err := initialise(t, dir, answers()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// file is all that may change of a file.
type file struct {
	Mode     fs.FileMode
	Modified time.Time
	Text     string
}

func snapshot(t *testing.T, dir string) map[string]file {
	t.Helper()
	found := make(map[string]file)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		f := file{Mode: info.Mode(), Modified: info.ModTime()}
		if info.Mode().IsRegular() {
			f.Text = read(t, path)
		}
		relative, err := filepath.Rel(dir, path)
		found[relative] = f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestInitMakesEverythingWithTheRightModes(t *testing.T) {
	t.Parallel()
	found := snapshot(t, initialised(t))
	modes := map[string]fs.FileMode{
		".env": 0o600, "config": fs.ModeDir | 0o755, "config/catalogue.yaml": 0o644, "secrets": fs.ModeDir | 0o700,
		"secrets/node_private_key": 0o400, "secrets/node_short_id": 0o400,
	}
	for _, name := range []string{
		"bot_token", "cryptopay_token", "webhook_secret", "app_key", "postgres_password", "database_url", "grafana_password", "alert_token", "xray.json",
	} {
		modes["secrets/"+name] = 0o444 // in a folder of its owner's alone
	}
	made := make(map[string]fs.FileMode)
	for path, f := range found {
		if first, _, _ := strings.Cut(path, "/"); first == ".env" || first == "config" || first == "secrets" {
			made[path] = f.Mode
		}
	}
	if diff := cmp.Diff(modes, made); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestInitMakesGoodSecrets(t *testing.T) {
	t.Parallel()
	dir := initialised(t)
	secret := func(name string) string { return strings.TrimSpace(read(t, filepath.Join(dir, "secrets", name))) }
	for name, want := range map[string]string{"bot_token": answers()["BOT_TOKEN"], "cryptopay_token": answers()["CRYPTOPAY_TOKEN"]} {
		if secret(name) != want {
			t.Errorf("%s is %q", name, secret(name))
		}
	}
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(secret("webhook_secret")) {
		t.Errorf("the webhook's secret is %q", secret("webhook_secret"))
	}
	if key, err := base64.StdEncoding.DecodeString(secret("app_key")); err != nil || len(key) != 32 {
		t.Errorf("the app's key has %d bytes, %v", len(key), err)
	}
	database, err := url.Parse(secret("database_url"))
	if err != nil {
		t.Fatal(err)
	}
	if password, _ := database.User.Password(); len(password) < 32 || password != secret("postgres_password") {
		t.Error("the database's address has another password than the database")
	}
	other := initialised(t)
	for _, name := range []string{"webhook_secret", "app_key", "postgres_password", "grafana_password", "node_private_key", "node_short_id"} {
		if secret(name) == strings.TrimSpace(read(t, filepath.Join(other, "secrets", name))) {
			t.Errorf("%s is the same elsewhere", name)
		}
	}
}

// xrayConfig is what the tests look at in Xray's configuration.
type xrayConfig struct {
	Inbounds []struct {
		Tag            string
		StreamSettings struct {
			RealitySettings struct {
				Target, PrivateKey    string
				ServerNames, ShortIDs []string
			}
		}
	}
}

type catalogue struct {
	Nodes []struct {
		API        string `yaml:"api"`
		Inbound    string `yaml:"inbound"`
		Host       string `yaml:"host"`
		Port       int    `yaml:"port"`
		ServerName string `yaml:"server_name"`
		PublicKey  string `yaml:"public_key"`
		ShortID    string `yaml:"short_id"`
	}
}

func TestInitGivesNodeAndCatalogueOneKey(t *testing.T) {
	t.Parallel()
	dir := initialised(t)
	var node xrayConfig
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "secrets/xray.json"))), &node); err != nil {
		t.Fatal(err)
	}
	var sold catalogue
	readYAML(t, filepath.Join(dir, "config/catalogue.yaml"), &sold)
	inbound, entry := node.Inbounds[1], sold.Nodes[0]
	reality := inbound.StreamSettings.RealitySettings
	private, err := base64.RawURLEncoding.DecodeString(reality.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if public := base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()); public != entry.PublicKey {
		t.Errorf("the catalogue's key is %s, want %s", entry.PublicKey, public)
	}
	if entry.ShortID != reality.ShortIDs[0] || !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(entry.ShortID) {
		t.Errorf("short ids: %q and %q", entry.ShortID, reality.ShortIDs)
	}
	if entry.ServerName != "cover.example.org" || reality.ServerNames[0] != entry.ServerName || reality.Target != entry.ServerName+":443" {
		t.Errorf("names: %q, %q, %q", entry.ServerName, reality.ServerNames, reality.Target)
	}
	if entry.Host != "shop.example.com" || entry.Port != 443 || entry.Inbound != inbound.Tag || entry.API != "unix:///run/xray/api.sock" {
		t.Errorf("the catalogue's node is %+v", entry)
	}
}

func TestInitAgainChangesNothing(t *testing.T) {
	t.Parallel()
	dir := initialised(t)
	before := snapshot(t, dir)
	for _, again := range []map[string]string{nil, {
		"PUBLIC_URL": "https://other.example.com", "COVER_SITE": "other.example.org", "BOT_TOKEN": "9:other", "CRYPTOPAY_TOKEN": "9:other",
	}} {
		if out, err := initialise(t, dir, again); err != nil || strings.Contains(out, "made") || strings.Contains(out, "added") {
			t.Fatalf("%v\n%s", err, out)
		}
		if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
			t.Errorf("before (-), after (+):\n%s", diff)
		}
	}
}

func TestInitMakesAnewWhatWasRemoved(t *testing.T) {
	t.Parallel()
	dir := initialised(t)
	before := snapshot(t, dir)
	lost := []string{"secrets/xray.json", "secrets/database_url", "config/catalogue.yaml"}
	for _, path := range lost {
		if err := os.Remove(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := initialise(t, dir, nil); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	after := snapshot(t, dir)
	for path := range before {
		if before[path].Text != after[path].Text {
			t.Errorf("%s is another one", path)
		}
	}
}

func TestInitNeedsEveryAnswerAndLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(answers())) {
		for _, bad := range []string{"", "hunter2 hunter2"} {
			t.Run(name+"="+bad, func(t *testing.T) {
				t.Parallel()
				dir := checkout(t)
				given := answers()
				given[name] = bad
				out, err := initialise(t, dir, given)
				if err == nil || !strings.Contains(out, "compose-init: "+name+": ") || strings.Contains(out, "hunter2") {
					t.Errorf("%v\n%s", err, out)
				}
				if entries, err := os.ReadDir(filepath.Join(dir, "secrets")); err == nil {
					t.Errorf("it made %v", entries)
				}
			})
		}
	}
}

func TestInitShowsNoSecret(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	out, err := initialise(t, dir, answers())
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for path, f := range snapshot(t, filepath.Join(dir, "secrets")) {
		if text := strings.TrimSpace(f.Text); text != "" && strings.Contains(out, text) {
			t.Errorf("it shows %s", path)
		}
	}
	for name, f := range snapshot(t, dir) {
		if strings.HasPrefix(name, "secrets") || !f.Mode.IsRegular() {
			continue
		}
		if strings.Contains(f.Text, answers()["BOT_TOKEN"]) || strings.Contains(f.Text, answers()["CRYPTOPAY_TOKEN"]) {
			t.Errorf("a token is in %s", name)
		}
	}
}

func TestGitIgnoresWhatInitMakes(t *testing.T) {
	t.Parallel()
	for _, path := range []string{".env", "secrets/bot_token", "config/catalogue.yaml"} {
		ignored := exec.CommandContext(t.Context(), "git", "check-ignore", "--quiet", path)
		ignored.Dir = inRoot("")
		run(t, ignored)
	}
}
