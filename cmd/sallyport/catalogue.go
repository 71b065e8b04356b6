package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"sallyport/bot"
	"sallyport/shop"
	"sallyport/xray"
)

// catalogueFile is the catalogue as the operator writes it.
type catalogueFile struct {
	Support string     `yaml:"support" doc:"the contact that customers are shown under Support, at most 128 characters"`
	Limits  limitsFile `yaml:"limits" doc:"what one customer may do; may be left out"`
	Plans   []planFile `yaml:"plans" doc:"1 to 8 products"`
	Nodes   []nodeFile `yaml:"nodes" doc:"1 to 10 Xray servers; every customer with access is let in on every one"`
}

type limitsFile struct {
	Prepaid string `yaml:"prepaid" doc:"how far ahead access may be bought, such as '1095d'; default no limit"`
	Orders  int    `yaml:"orders_per_hour" doc:"1 to 1000 orders in an hour; default 30"`
}

type planFile struct {
	ID          string            `yaml:"id" doc:"1 to 16 of 'a-z 0-9', each once; it must stay the same once somebody has bought the plan"`
	Name        map[string]string `yaml:"name" doc:"what customers see, by language ('en', 'ru'), at most 64 characters; 'en' is required and is the fallback"`
	Description map[string]string `yaml:"description" doc:"by language, at most 300 characters, without markup; may be left out"`
	Periods     []periodFile      `yaml:"periods" doc:"1 to 12 of them"`
}

type periodFile struct {
	Length string `yaml:"length" doc:"days such as '30d', or whole seconds such as '45s' or '12h'; at most '3660d'; each once"`
	RUB    string `yaml:"rub" doc:"the price in roubles, in quotes, such as '149' or '149.50'"`
	Stars  string `yaml:"stars" doc:"the price in Telegram Stars, a whole number from 1 to 10000; without one it is not sold for Stars"`
}

type nodeFile struct {
	Name        string `yaml:"name" doc:"1 to 32 of 'a-z 0-9 -', each once; customers see it above its link"`
	Title       string `yaml:"title" doc:"what the customer's app calls the server, at most 64 characters"`
	API         string `yaml:"api" doc:"where Xray's API listens: 'unix:///path', 'unix-abstract:name', or 'host:port' of this machine; it has no password and must not be open to the network"`
	Inbound     string `yaml:"inbound" doc:"the tag of the VLESS inbound in Xray's configuration"`
	Host        string `yaml:"host" doc:"the server's public name or IP address"`
	Port        int    `yaml:"port" doc:"that customers connect to"`
	ServerName  string `yaml:"server_name" doc:"one of the inbound's 'serverNames'"`
	PublicKey   string `yaml:"public_key" doc:"what 'xray x25519' calls Password (PublicKey)"`
	ShortID     string `yaml:"short_id" doc:"one of the inbound's 'shortIds', in quotes"`
	Fingerprint string `yaml:"fingerprint" doc:"the browser that apps imitate, such as 'chrome'"`
}

// What fits on one screen: plans with their descriptions, the buttons of periods.
// Characters are counted as Telegram does. A key's links have pages.
const (
	maxPlans       = 8
	maxPeriods     = 12
	maxName        = 64 // of a plan, and a node's title
	maxDescription = 300
	maxContact     = 128
	maxNodes       = 10
	maxStars       = 10000 // of one price
)

// readCatalogue reads the catalogue's file and reports every problem at once.
func readCatalogue(path string) (shop.Catalogue, []xray.Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return shop.Catalogue{}, nil, fmt.Errorf("catalogue: %w", err)
	}
	var f catalogueFile
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil {
		return shop.Catalogue{}, nil, fmt.Errorf("catalogue %s: %w", path, err)
	}
	c, planErr := f.catalogue()
	digest := sha256.Sum256(text)
	c.Version = hex.EncodeToString(digest[:4])
	nodes, nodeErr := f.nodes()
	err = errors.Join(planErr, nodeErr)
	if err == nil {
		err = checkScreens(c, nodes)
	}
	if err != nil {
		return shop.Catalogue{}, nil, fmt.Errorf("catalogue %s: %w", path, err)
	}
	return c, nodes, nil
}

// checkScreens returns nil if Telegram takes every screen that shows something of the
// catalogue. The limits of each value see to that; this sees that they do.
func checkScreens(c shop.Catalogue, nodes []xray.Config) error {
	texts, err := bot.NewTexts(time.UTC, providers(nil, nil, nil))
	if err != nil {
		return err
	}
	links := make([]shop.Link, len(nodes))
	for i, n := range nodes {
		links[i] = shop.Link{Node: n.Name, URL: xray.Link(n.Endpoint, shop.Access{}, n.Flow, n.Label)}
	}
	return texts.Fits(c, links)
}

func (f catalogueFile) catalogue() (shop.Catalogue, error) {
	c := shop.Catalogue{Support: f.Support}
	var problems []error
	if err := bot.CheckText(f.Support, maxContact); err != nil {
		problems = append(problems, fmt.Errorf("support: want a contact such as @name: %w", err))
	}
	if len(f.Plans) == 0 || len(f.Plans) > maxPlans {
		problems = append(problems, fmt.Errorf("plans: want 1 to %d", maxPlans))
	}
	limits, err := f.Limits.limits()
	c.Limits, problems = limits, append(problems, err)
	seen := make(map[shop.PlanID]bool)
	for i, p := range f.Plans {
		plan, err := p.plan()
		if err == nil && seen[plan.ID] {
			err = errors.New("id is used twice")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("plans[%d] %q: %w", i, p.ID, err))
		}
		seen[plan.ID] = true
		for _, period := range plan.Periods {
			if limits.Prepaid > 0 && period.Length > limits.Prepaid {
				problems = append(problems, fmt.Errorf("plans[%d] %q: period %q: is longer than limits.prepaid, so nobody can buy it", i, p.ID, period.ID))
			}
		}
		c.Plans = append(c.Plans, plan)
	}
	return c, errors.Join(problems...)
}

// defaultOrders is how many orders a customer may place in an hour: each costs Crypto
// Pay an invoice.
const defaultOrders = 30

func (f limitsFile) limits() (shop.Limits, error) {
	limits := shop.Limits{Orders: cmp.Or(f.Orders, defaultOrders)}
	var problems []error
	if limits.Orders < 1 || limits.Orders > 1000 {
		problems = append(problems, fmt.Errorf("limits: orders_per_hour: got %d, want 1 to 1000", limits.Orders))
	}
	if f.Prepaid != "" {
		length, err := shop.ParsePeriod(shop.PeriodID(f.Prepaid))
		if err != nil {
			problems = append(problems, fmt.Errorf("limits: prepaid: %w", err))
		}
		limits.Prepaid = length
	}
	return limits, errors.Join(problems...)
}

func (p planFile) plan() (shop.Plan, error) {
	var nameErr, aboutErr error
	plan := shop.Plan{ID: shop.PlanID(p.ID)}
	plan.Name, nameErr = texts("name", p.Name, maxName)
	plan.Description, aboutErr = texts("description", p.Description, maxDescription)
	problems := []error{nameErr, aboutErr}
	if !regexp.MustCompile(`^[a-z0-9]{1,16}$`).MatchString(p.ID) {
		problems = append(problems, errors.New("id: want 1 to 16 of a-z 0-9"))
	}
	if _, named := plan.Name[shop.English]; !named {
		problems = append(problems, errors.New("name.en: want a name"))
	}
	if len(p.Periods) == 0 || len(p.Periods) > maxPeriods {
		problems = append(problems, fmt.Errorf("periods: want 1 to %d", maxPeriods))
	}
	seen := make(map[string]bool)
	for _, period := range p.Periods {
		sold, err := period.period()
		if seen[period.Length] || len(period.Length) > 12 {
			err = errors.Join(err, fmt.Errorf("period %q: want each once, at most 12 characters", period.Length))
		}
		seen[period.Length] = true
		problems = append(problems, err)
		plan.Periods = append(plan.Periods, sold)
	}
	return plan, errors.Join(problems...)
}

func (p periodFile) period() (shop.Period, error) {
	id := shop.PeriodID(p.Length)
	length, err := shop.ParsePeriod(id)
	problems := []error{err}
	price, err := shop.ParseMoney(p.RUB, "RUB")
	if err != nil || price.Minor <= 0 {
		problems = append(problems, fmt.Errorf("period %q: rub: want a price such as \"149\" or \"149.50\"", p.Length))
	}
	sold := shop.Period{ID: id, Length: length, Price: price}
	if p.Stars != "" {
		sold.Stars, err = shop.ParseMoney(p.Stars, shop.XTR)
		if err != nil || sold.Stars.Minor < 1 || sold.Stars.Minor > maxStars {
			problems = append(problems, fmt.Errorf("period %q: stars: want a whole number from 1 to %d, or nothing", p.Length, maxStars))
		}
	}
	return sold, errors.Join(problems...)
}

// texts reads what is said in each language; none is blank.
func texts(field string, byCode map[string]string, most int) (map[shop.Language]string, error) {
	t := make(map[shop.Language]string, len(byCode))
	var problems []error
	for _, code := range slices.Sorted(maps.Keys(byCode)) {
		l := shop.Language(code)
		if !slices.Contains(shop.Languages(), l) {
			problems = append(problems, fmt.Errorf("%s.%s: want one of the languages %q", field, code, shop.Languages()))
		}
		if err := bot.CheckText(byCode[code], most); err != nil {
			problems = append(problems, fmt.Errorf("%s.%s: %w", field, code, err))
		}
		t[l] = byCode[code]
	}
	return t, errors.Join(problems...)
}

func (f catalogueFile) nodes() ([]xray.Config, error) {
	var problems []error
	if len(f.Nodes) == 0 || len(f.Nodes) > maxNodes {
		problems = append(problems, fmt.Errorf("nodes: want 1 to %d", maxNodes))
	}
	seen := make(map[string]bool)
	configs := make([]xray.Config, len(f.Nodes))
	for i, n := range f.Nodes {
		if !regexp.MustCompile(`^[a-z0-9-]{1,32}$`).MatchString(n.Name) || seen[n.Name] {
			problems = append(problems, fmt.Errorf("nodes[%d] %q: name: want 1 to 32 of a-z 0-9 -, each once", i, n.Name))
		}
		seen[n.Name] = true
		for field, value := range map[string]string{"api": n.API, "inbound": n.Inbound} {
			if value == "" {
				problems = append(problems, fmt.Errorf("nodes[%d] %q: %s: want a value", i, n.Name, field))
			}
		}
		if err := bot.CheckText(n.Title, maxName); err != nil {
			problems = append(problems, fmt.Errorf("nodes[%d] %q: title: %w", i, n.Name, err))
		}
		configs[i] = xray.Config{
			Name: n.Name, Label: n.Title, API: n.API, Inbound: n.Inbound, Flow: xray.Vision,
			Endpoint: xray.Endpoint{
				Host: n.Host, Port: n.Port, ServerName: n.ServerName, PublicKey: n.PublicKey,
				ShortID: n.ShortID, Fingerprint: n.Fingerprint,
			},
		}
		if err := configs[i].Endpoint.Validate(); err != nil {
			problems = append(problems, fmt.Errorf("nodes[%d] %q: %w", i, n.Name, err))
		}
	}
	return configs, errors.Join(problems...)
}
