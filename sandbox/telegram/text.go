package telegram

import (
	"encoding/json"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// formatted is a text together with its entities.
type formatted struct {
	text     string
	entities []entity
}

// readText parses the named text with parse_mode or the named entities, as the real server does.
func (s *Server) readText(c *call, name, entitiesName string) (formatted, error) {
	var explicit []entity
	if err := c.decode(entitiesName, &explicit); err != nil {
		return formatted{}, err
	}
	return s.format(c.text(name), c.text("parse_mode"), explicit)
}

// format applies a parse mode or explicit entities, trims the text and finds the entities that need no markup.
func (s *Server) format(text, mode string, explicit []entity) (formatted, error) {
	if len(text) > maxTextBytes {
		return formatted{}, badRequest("text is too long")
	}
	f := formatted{text: text, entities: explicit}
	switch strings.ToLower(mode) {
	case "", "none":
	case "html":
		var err error
		if f, err = parseHTML(text, s.cfg.Lenient); err != nil {
			return f, err
		}
	case "markdown", "markdownv2":
		var err error
		if f, err = parseMarkdown(text, strings.EqualFold(mode, "MarkdownV2")); err != nil {
			return f, err
		}
	default:
		return f, badRequest("unsupported parse_mode")
	}
	s.resolveMentions(f.entities)
	return f.tidy(), nil
}

// resolveMentions fills the people of text_mention entities.
func (s *Server) resolveMentions(entities []entity) {
	for i, e := range entities {
		if e.User == nil {
			continue
		}
		if ch, ok := s.chats[e.User.ID]; ok {
			u := ch.user.wire()
			entities[i].User = &u
		}
	}
}

// tidy trims white space, cuts entities to the text, adds found ones and sorts.
func (f formatted) tidy() formatted {
	left := strings.TrimLeftFunc(f.text, unicode.IsSpace)
	cut := utf16Len(f.text) - utf16Len(left)
	out := formatted{text: strings.TrimRightFunc(left, unicode.IsSpace)}
	length := utf16Len(out.text)
	for _, e := range f.entities {
		end := min(e.Offset+e.Length-cut, length)
		e.Offset = max(e.Offset-cut, 0)
		e.Length = end - e.Offset
		if e.Length > 0 {
			out.entities = append(out.entities, e)
		}
	}
	out.entities = withoutNested(out.entities)
	out.entities = append(out.entities, detect(out.text, out.entities)...)
	sortEntities(out.entities)
	return out
}

// withoutNested drops entities inside code and pre, which cannot hold any.
func withoutNested(entities []entity) []entity {
	sortEntities(entities)
	var out []entity
	codeEnd := 0
	for _, e := range entities {
		if e.Offset < codeEnd {
			continue
		}
		if e.Type == "code" || e.Type == "pre" {
			codeEnd = e.Offset + e.Length
			out = dropInside(out, e)
		}
		out = append(out, e)
	}
	return out
}

// dropInside removes entities that cover exactly the same range as a code entity.
func dropInside(entities []entity, code entity) []entity {
	for len(entities) > 0 {
		last := entities[len(entities)-1]
		if last.Offset != code.Offset || last.Length != code.Length {
			break
		}
		entities = entities[:len(entities)-1]
	}
	return entities
}

func sortEntities(entities []entity) {
	sort.SliceStable(entities, func(i, j int) bool {
		a, b := entities[i], entities[j]
		if a.Offset != b.Offset {
			return a.Offset < b.Offset
		}
		return a.Length > b.Length
	})
}

// detect finds bot commands, mentions and web addresses outside the entities that the text already has.
func detect(text string, taken []entity) []entity {
	var found []entity
	offset := 0
	for _, word := range splitWords(text) {
		length := utf16Len(word.text)
		start := offset + utf16Len(word.space)
		offset = start + length
		e := entity{Type: wordKind(word.text), Offset: start, Length: utf16Len(trimWord(word.text))}
		if e.Type != "" && !overlaps(e, taken) {
			found = append(found, e)
		}
	}
	return found
}

type word struct{ space, text string }

func splitWords(text string) []word {
	var words []word
	for text != "" {
		rest := strings.TrimLeftFunc(text, unicode.IsSpace)
		space := text[:len(text)-len(rest)]
		end := strings.IndexFunc(rest, unicode.IsSpace)
		if end < 0 {
			end = len(rest)
		}
		words = append(words, word{space: space, text: rest[:end]})
		text = rest[end:]
	}
	return words
}

// trimWord cuts punctuation that ends a sentence rather than a command, mention or address.
func trimWord(w string) string { return strings.TrimRight(w, ".,!?;:)") }

func wordKind(w string) string {
	w = trimWord(w)
	switch {
	case isCommand(w):
		return "bot_command"
	case len(w) >= 6 && w[0] == '@' && isName(w[1:]):
		return "mention"
	case strings.HasPrefix(w, "https://") && len(w) > 8, strings.HasPrefix(w, "http://") && len(w) > 7:
		return "url"
	}
	return ""
}

// isCommand accepts /name and /name@bot.
func isCommand(w string) bool {
	rest, ok := strings.CutPrefix(w, "/")
	name, bot, addressed := strings.Cut(rest, "@")
	return ok && isName(name) && len(name) <= 64 && (!addressed || isName(bot))
}

func isName(w string) bool {
	for _, r := range w {
		if r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)) {
			return false
		}
	}
	return w != ""
}

func overlaps(e entity, taken []entity) bool {
	for _, t := range taken {
		switch t.Type {
		case "code", "pre", "text_link", "url", "text_mention", "mention", "bot_command":
			if e.Offset < t.Offset+t.Length && t.Offset < e.Offset+e.Length {
				return true
			}
		}
	}
	return false
}

// utf16Len counts UTF-16 code units, the unit of every offset and limit of the Bot API.
func utf16Len(text string) int {
	n := 0
	for _, r := range text {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

// fingerprint is equal for two messages that look the same to the person.
func (m *message) fingerprint() string {
	markup, _ := json.Marshal(m.markup.orNil())
	entities, _ := json.Marshal(m.entities)
	return strings.Join([]string{m.text, string(entities), string(markup), m.media.key()}, "\x00")
}

func runeLen(text string) int { return utf8.RuneCountInString(text) }
