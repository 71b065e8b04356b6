package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"
)

// secret is a value that must not be shown.
type secret string

// String hides the value.
func (s secret) String() string {
	if s == "" {
		return "(empty)"
	}
	return "(hidden)"
}

// GoString hides the value.
func (s secret) GoString() string { return s.String() }

// MarshalJSON hides the value.
func (s secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// setting is one variable of the environment.
type setting struct {
	name     string
	required bool
	fallback string
	doc      string // Markdown, with ' for `
	isSecret bool   // and may be given as a file, in the variable name_FILE
	index    int    // of the field of config
}

// settings returns every variable of the environment, in the order of config.
func settings() []setting {
	var all []setting
	for field := range reflect.TypeFor[config]().Fields() {
		name, option, _ := strings.Cut(field.Tag.Get("env"), ",")
		all = append(all, setting{
			name: name, required: option == "required", fallback: field.Tag.Get("envDefault"), doc: field.Tag.Get("doc"),
			isSecret: field.Type == reflect.TypeFor[secret](), index: field.Index[0],
		})
	}
	return all
}

// readConfig reads the environment, and .env where the environment is silent. It
// reports every problem at once.
func readConfig() (config, error) {
	values, err := readEnvironment()
	if err != nil {
		return config{}, err
	}
	commonNames(values)
	fileErr := readSecretFiles(values)
	var c config
	err = misread(env.ParseWithOptions(&c, env.Options{Environment: values}), values)
	for i, asset := range c.CryptoPayAssets {
		c.CryptoPayAssets[i] = strings.TrimSpace(asset)
	}
	c.DatabaseURL = secret(writable(string(c.DatabaseURL)))
	return c, errors.Join(fileErr, err, c.validate())
}

// readEnvironment returns the variables of the environment and of .env.
func readEnvironment() (map[string]string, error) {
	values, err := godotenv.Read()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.New(".env: not readable: want lines such as NAME=value") // the cause quotes the file, secrets and all
	}
	if values == nil {
		values = make(map[string]string)
	}
	for _, line := range os.Environ() {
		name, value, _ := strings.Cut(line, "=")
		values[name] = value
	}
	return values, nil
}

// maxSecret bounds what is read of a secret's file.
const maxSecret = 4096

// readSecretFiles adds to values the secrets that are given as files.
func readSecretFiles(values map[string]string) error {
	var problems []error
	for _, s := range settings() {
		path := values[s.name+"_FILE"]
		switch {
		case !s.isSecret || path == "":
			continue
		case values[s.name] != "":
			problems = append(problems, fmt.Errorf("%s_FILE: want either it or %s, not both", s.name, s.name))
			continue
		}
		text, err := readSecretFile(path)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s_FILE: %w", s.name, err))
		}
		values[s.name] = text
	}
	return errors.Join(problems...)
}

func readSecretFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("want a readable file with the value: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil || len(text) > maxSecret {
		return "", fmt.Errorf("%s: want a file of at most %d bytes with the value alone", path, maxSecret)
	}
	return strings.TrimSpace(string(text)), nil
}

// misread returns the values that are not of their type; those that are missing
// fail validation.
func misread(err error, values map[string]string) error {
	problems, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return err
	}
	var found []error
	for _, problem := range problems.Errors {
		if parse, ok := errors.AsType[env.ParseError](problem); ok {
			name := settingOf(parse.Name)
			found = append(found, fmt.Errorf("%s: got %s, want %s", name, quoted(values[name]), typeName(parse.Type)))
		} else if _, missing := errors.AsType[env.VarIsNotSetError](problem); !missing {
			found = append(found, problem)
		}
	}
	return errors.Join(found...)
}

// settingOf returns the variable that a field of config is read from.
func settingOf(field string) string {
	found, ok := reflect.TypeFor[config]().FieldByName(field)
	if !ok {
		return field
	}
	return settings()[found.Index[0]].name
}

// typeName says in words what a value of the type looks like.
func typeName(t reflect.Type) string {
	if t.String() == "time.Duration" {
		return "a time such as 2s or 10m"
	}
	return "a whole number"
}

// shape says what the settings named, separated by commas, look like: their values, or
// of secrets no more than the length.
func (c config) shape(names string) string {
	var shapes []string
	for name := range strings.SplitSeq(names, ", ") {
		for _, s := range settings() {
			if s.name == name {
				shapes = append(shapes, s.shape(c))
			}
		}
	}
	return strings.Join(shapes, " and ")
}

func (s setting) shape(c config) string {
	value := reflect.ValueOf(c).Field(s.index)
	switch {
	case s.isSecret && value.Len() > 0:
		return fmt.Sprintf("%d characters", value.Len())
	case value.Kind() == reflect.Slice:
		return quoted(strings.Join(value.Interface().([]string), ","))
	default:
		return quoted(fmt.Sprint(value.Interface()))
	}
}

// maxQuoted bounds what an error quotes of a value.
const maxQuoted = 60

func quoted(value string) string {
	if value == "" || value == secret("").String() {
		return "nothing"
	}
	if u, err := url.Parse(value); err == nil && u.User != nil {
		value = u.Redacted()
	}
	if len(value) > maxQuoted {
		value = value[:maxQuoted] + "..."
	}
	return fmt.Sprintf("%q", value)
}
