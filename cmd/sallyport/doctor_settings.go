package main

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"strings"

	"sallyport/shop"
)

// newDoctor reads the settings and the catalogue, and says what is wrong with them.
func newDoctor() (*doctor, check) {
	c := check{Name: "settings", Status: well}
	d := &doctor{wrong: make(map[string]bool)}
	var err error
	if d.config, err = readConfig(); err != nil {
		d.wrong = named(err)
		c.add(fails, err.Error(), "correct them in .env or in the environment")
	}
	d.readCatalogue(&c)
	if c.Status == well {
		c.add(well, fmt.Sprintf("complete; %s has %d plans and %d nodes", d.config.Catalogue, len(d.offered.Plans), len(d.nodes)), "")
	}
	return d, c
}

func (d *doctor) readCatalogue(c *check) {
	if d.config.Catalogue == "" {
		return // the environment could not be read, and that is told
	}
	var err error
	d.offered, d.nodes, err = readCatalogue(d.config.Catalogue)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.add(fails, err.Error(), "copy catalogue.example.yaml to "+d.config.Catalogue+" and change it, or set CATALOGUE")
	case err != nil:
		c.add(fails, err.Error(), "correct "+d.config.Catalogue+"; catalogue.example.yaml says what is meant")
	}
}

// named returns the settings that the problems begin with.
func named(err error) map[string]bool {
	found := make(map[string]bool)
	for line := range strings.Lines(err.Error()) {
		names := regexp.MustCompile(`^((?:\.env|[A-Z_]+)(?:, [A-Z_]+)*): `).FindStringSubmatch(line)
		if names == nil {
			continue
		}
		for name := range strings.SplitSeq(names[1], ", ") {
			found[strings.TrimSuffix(name, "_FILE")] = true
		}
	}
	return found
}

// hide takes out secrets, which somebody else's words may hold.
func (d *doctor) hide(text string) string {
	for _, s := range settings() {
		if value := reflect.ValueOf(d.config).Field(s.index); s.isSecret && value.Len() > 0 {
			text = strings.ReplaceAll(text, value.String(), secret(value.String()).String())
		}
	}
	return text
}

// causeOf is the last cause of an error, as short as can be said.
func causeOf(err error) string {
	for {
		switch next := err.(type) { //nolint:errorlint // it is unwrapped here
		case interface{ Unwrap() error }:
			cause := next.Unwrap()
			if cause == nil {
				return err.Error()
			}
			err = cause
		default:
			return err.Error()
		}
	}
}

// isDown says that a dependency did not answer, as against refused.
func isDown(err error) bool { return shop.KindOf(err) == shop.KindUnavailable }
