package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"
)

const supportContact = "@sallyport_support"

// catalogueFile is the product's catalogue as an operator writes it. It is told
// here anew, not shared with the product, so that a change of the format shows.
type catalogueFile struct {
	Support string          `yaml:"support"`
	Plans   []cataloguePlan `yaml:"plans"`
	Nodes   []catalogueNode `yaml:"nodes"`
}

type cataloguePlan struct {
	ID          string            `yaml:"id"`
	Name        map[string]string `yaml:"name"`
	Description map[string]string `yaml:"description"`
	Periods     []cataloguePeriod `yaml:"periods"`
}

type cataloguePeriod struct {
	Length string `yaml:"length"`
	RUB    string `yaml:"rub"`
	Stars  int    `yaml:"stars,omitempty"`
}

type catalogueNode struct {
	Name        string `yaml:"name"`
	Title       string `yaml:"title"`
	API         string `yaml:"api"`
	Inbound     string `yaml:"inbound"`
	Host        string `yaml:"host"`
	Port        int    `yaml:"port"`
	ServerName  string `yaml:"server_name"`
	PublicKey   string `yaml:"public_key"`
	ShortID     string `yaml:"short_id"`
	Fingerprint string `yaml:"fingerprint"`
}

// plans are what the sandbox's shop sells.
func plans(short time.Duration) []cataloguePlan {
	return []cataloguePlan{
		{
			ID: "basic", Name: map[string]string{"ru": "Базовый", "en": "Basic"},
			Description: map[string]string{"ru": "Для одного человека: телефон и ноутбук.", "en": "For one person: a phone and a laptop."},
			Periods:     []cataloguePeriod{{"30d", "149", 99}, {"90d", "399", 269}, {"180d", "749", 499}, {"365d", "1399", 929}},
		},
		{
			ID: "plus", Name: map[string]string{"ru": "Плюс", "en": "Plus"},
			Description: map[string]string{"ru": "Для семьи: все устройства дома и в дороге.", "en": "For a family: every device, at home and away."},
			Periods:     []cataloguePeriod{{"30d", "299", 199}, {"90d", "699", 469}, {"180d", "1199", 799}, {"365d", "2299", 1529}},
		},
		{
			ID: "taster", Name: map[string]string{"ru": "Проба", "en": "Taster"},
			Description: map[string]string{
				"ru": "Совсем короткий: чтобы увидеть, как доступ заканчивается.",
				"en": "A very short one, to watch access expire.",
			},
			Periods: []cataloguePeriod{{fmt.Sprintf("%ds", int(short.Seconds())), "10", 7}},
		},
	}
}

// writeCatalogue writes the product's catalogue, whose one node is x.
func writeCatalogue(dir string, short time.Duration, x Xray) (string, error) {
	text, err := yaml.Marshal(catalogueFile{
		Support: supportContact, Plans: plans(short),
		Nodes: []catalogueNode{{
			Name: "local", Title: "Sandbox", API: x.API, Inbound: x.Inbound, Host: x.Host, Port: x.Port,
			ServerName: x.ServerName, PublicKey: x.PublicKey, ShortID: x.ShortID, Fingerprint: "chrome",
		}},
	})
	if err != nil {
		return "", fmt.Errorf("write the catalogue: %w", err)
	}
	path := filepath.Join(dir, "catalogue.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("write the catalogue: %w", err)
	}
	return path, nil
}
