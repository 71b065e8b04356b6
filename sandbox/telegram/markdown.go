package telegram

import (
	"strings"
	"unicode/utf8"
)

// mark is what begins and ends an entity of MarkdownV2.
type mark struct{ text, kind, name string }

// marks are tried in order: what is longer first.
func marks() []mark {
	return []mark{
		{"```", "pre", "Pre"},
		{"`", "code", "Code"},
		{"||", "spoiler", "Spoiler"},
		{"__", "underline", "Underline"},
		{"*", "bold", "Bold"},
		{"_", "italic", "Italic"},
		{"~", "strikethrough", "Strikethrough"},
	}
}

// reserved are the characters that MarkdownV2 wants escaped where they mean nothing.
const reserved = "_*[]()~`>#+-=|{}.!"

// markdownParser reads MarkdownV2 as the real server does, byte offsets and error texts included.
type markdownParser struct {
	in       string
	pos      int
	out      strings.Builder
	units    int // UTF-16 length of out
	open     []openMark
	entities []entity
	quote    int // where the open quotation begins; -1 without one
}

// openMark is a mark that waits for its end.
type openMark struct {
	mark
	offset, begin int    // in the output, in UTF-16 units; in the input, in bytes
	language      string // of a block of code
}

// parseMarkdown turns MarkdownV2, or Markdown of the first kind, into plain text and entities.
func parseMarkdown(in string, second bool) (formatted, error) {
	p := &markdownParser{in: in, quote: -1}
	step := p.stepFirst
	if second {
		step = p.step
	}
	for p.pos < len(p.in) {
		if err := step(); err != nil {
			return formatted{}, err
		}
	}
	p.endQuote()
	if len(p.open) > 0 {
		last := p.open[len(p.open)-1]
		return formatted{}, parseFailure("Can't find end of %s entity at byte offset %d", last.name, last.begin)
	}
	sortEntities(p.entities)
	return formatted{text: p.out.String(), entities: p.entities}, nil
}

func (p *markdownParser) write(text string) {
	p.out.WriteString(text)
	p.units += utf16Len(text)
}

// writeRune takes one character as it stands.
func (p *markdownParser) writeRune() {
	_, size := utf8.DecodeRuneInString(p.in[p.pos:])
	p.write(p.in[p.pos : p.pos+size])
	p.pos += size
}

// add keeps an entity that ends here, unless it is empty.
func (p *markdownParser) add(e entity) {
	if e.Length = p.units - e.Offset; e.Length > 0 {
		p.entities = append(p.entities, e)
	}
}

func (p *markdownParser) rest() string { return p.in[p.pos:] }

// inside returns the kind of the innermost open entity.
func (p *markdownParser) inside() string {
	if len(p.open) == 0 {
		return ""
	}
	return p.open[len(p.open)-1].kind
}

func (p *markdownParser) step() error {
	c := p.in[p.pos]
	isCode := p.inside() == "code" || p.inside() == "pre"
	switch {
	case c == '\\' && p.pos+1 < len(p.in) && p.in[p.pos+1] < 127:
		p.pos++
		p.writeRune()
		return nil
	case isCode && c != '`':
		p.writeRune()
		return nil
	case c == '\n':
		p.writeRune()
		if !strings.HasPrefix(p.rest(), ">") {
			p.endQuote()
		}
		return nil
	case c == '>' && (p.out.Len() == 0 || strings.HasSuffix(p.out.String(), "\n")):
		p.pos++
		if p.quote < 0 {
			p.quote = p.units
		}
		return nil
	case !strings.ContainsRune(reserved, rune(c)):
		p.writeRune()
		return nil
	}
	return p.mark(c)
}

// mark reads a character that means something.
func (p *markdownParser) mark(c byte) error {
	for _, m := range marks() {
		if strings.HasPrefix(p.rest(), m.text) && (p.inside() == m.kind || p.inside() != "pre" && p.inside() != "code") {
			return p.turn(m)
		}
	}
	switch {
	case c == '[' || strings.HasPrefix(p.rest(), "!["):
		name := "TextUrl"
		if c == '!' {
			name = "CustomEmoji"
		}
		p.open = append(p.open, openMark{mark: mark{kind: "text_link", name: name}, offset: p.units, begin: p.pos})
		p.pos += strings.IndexByte(p.rest(), '[') + 1
		return nil
	case c == ']' && p.inside() == "text_link":
		return p.link()
	case p.inside() == "pre" || p.inside() == "code":
		p.writeRune()
		return nil
	}
	return parseFailure("Character '%c' is reserved and must be escaped with the preceding '\\'", c)
}

// turn begins an entity, or ends the innermost if it is of this kind.
func (p *markdownParser) turn(m mark) error {
	begin := p.pos
	p.pos += len(m.text)
	if p.inside() != m.kind {
		p.open = append(p.open, openMark{mark: m, offset: p.units, begin: begin, language: p.language(m)})
		return nil
	}
	last := p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	p.add(entity{Type: m.kind, Offset: last.offset, Language: last.language})
	return nil
}

// language reads what stands right behind the mark that begins a block of code.
func (p *markdownParser) language(m mark) string {
	line, _, found := strings.Cut(p.rest(), "\n")
	if m.kind != "pre" || !found || strings.ContainsAny(line, " \t`") {
		return ""
	}
	p.pos += len(line) + 1
	return line
}

// link reads the address of a link whose text ends here.
func (p *markdownParser) link() error {
	last := p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	address, err := p.address(last)
	if err != nil {
		return err
	}
	e := entity{Offset: last.offset}
	if id, ok := strings.CutPrefix(address, "tg://emoji?id="); last.name == "CustomEmoji" {
		if !ok || !isDigits(id) {
			return parseFailure("Custom emoji URL must have an emoji identifier")
		}
		e.Type, e.CustomEmojiID = "custom_emoji", id
	} else if !e.link(address) {
		return nil // a link without a usable address is plain text
	}
	p.add(e)
	return nil
}

// address reads (address) behind the text of a link; without one, the text is the address.
func (p *markdownParser) address(of openMark) (string, error) {
	p.pos++
	if !strings.HasPrefix(p.rest(), "(") {
		return p.out.String()[byteOffset(p.out.String(), of.offset):], nil
	}
	begin := p.pos
	var address strings.Builder
	for p.pos++; p.pos < len(p.in) && p.in[p.pos] != ')'; p.pos++ {
		if p.in[p.pos] == '\\' && p.pos+1 < len(p.in) {
			p.pos++
		}
		address.WriteByte(p.in[p.pos])
	}
	if p.pos == len(p.in) {
		return "", parseFailure("Can't find end of a URL at byte offset %d", begin)
	}
	p.pos++
	return address.String(), nil
}

// byteOffset turns an offset in UTF-16 units into one in bytes.
func byteOffset(text string, units int) int {
	for at, r := range text {
		if units <= 0 {
			return at
		}
		units -= utf16Len(string(r))
	}
	return len(text)
}

func (p *markdownParser) endQuote() {
	if p.quote >= 0 {
		p.add(entity{Type: "blockquote", Offset: p.quote})
	}
	p.quote = -1
}

// stepFirst reads Markdown of the first kind, in which nothing is inside of anything.
func (p *markdownParser) stepFirst() error {
	c := p.in[p.pos]
	switch {
	case c == '\\' && p.pos+1 < len(p.in) && strings.IndexByte("_*`[", p.in[p.pos+1]) >= 0:
		p.pos++
		p.writeRune()
		return nil
	case strings.IndexByte("_*`[", c) < 0:
		p.writeRune()
		return nil
	}
	begin, m := p.pos, p.markFirst()
	p.pos += len(m.text)
	language, end := p.language(m), m.text
	if c == '[' {
		end = "]"
	}
	length := strings.Index(p.rest(), end)
	if length < 0 {
		return parseFailure("Can't find end of the entity starting at byte offset %d", begin)
	}
	from := p.units
	p.write(p.rest()[:length])
	p.pos += length
	if c == '[' {
		p.open = append(p.open, openMark{mark: mark{kind: "text_link"}, offset: from, begin: begin})
		return p.link()
	}
	p.pos += len(end)
	p.add(entity{Type: m.kind, Offset: from, Language: language})
	return nil
}

// markFirst returns the mark that stands here.
func (p *markdownParser) markFirst() mark {
	for _, m := range marks() {
		if m.text != "||" && m.text != "__" && m.text != "~" && strings.HasPrefix(p.rest(), m.text) {
			return m
		}
	}
	return mark{text: "[", kind: "text_link", name: "TextUrl"}
}
