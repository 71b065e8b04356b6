package telegram

import "strings"

// htmlParser follows the real server's parser, byte offsets and error texts included.
type htmlParser struct {
	in       string
	pos      int
	out      strings.Builder
	units    int // UTF-16 length of out
	open     []openTag
	entities []entity
	lenient  bool // names of characters that the Bot API lacks are shown letter by letter
}

// openTag is a start tag that waits for its end tag.
type openTag struct {
	name, argument string
	format         string // of a time
	offset, bytes  int    // where its content begins in the output, in UTF-16 units and in bytes
}

// parseHTML turns HTML of the Bot API into plain text and entities.
func parseHTML(in string, lenient bool) (formatted, error) {
	p := &htmlParser{in: in, lenient: lenient}
	for p.pos < len(p.in) {
		if err := p.step(); err != nil {
			return formatted{}, err
		}
	}
	if len(p.open) > 0 {
		return formatted{}, parseFailure("Can't find end tag corresponding to start tag %q", p.open[len(p.open)-1].name)
	}
	sortEntities(p.entities)
	return formatted{text: p.out.String(), entities: p.entities}, nil
}

func (p *htmlParser) step() error {
	switch p.in[p.pos] {
	case '&':
		return p.reference()
	case '<':
		if p.peek(1) == '/' {
			return p.endTag()
		}
		return p.startTag()
	}
	end := strings.IndexAny(p.in[p.pos:], "&<")
	if end < 0 {
		end = len(p.in) - p.pos
	}
	p.write(p.in[p.pos : p.pos+end])
	p.pos += end
	return nil
}

func (p *htmlParser) write(text string) {
	p.out.WriteString(text)
	p.units += utf16Len(text)
}

// peek returns a byte ahead, or 0 past the end.
func (p *htmlParser) peek(ahead int) byte {
	if p.pos+ahead < len(p.in) {
		return p.in[p.pos+ahead]
	}
	return 0
}

// reference reads an HTML entity; a bare ampersand stands for itself, as on the real server.
func (p *htmlParser) reference() error {
	text, length, err := decodeReference(p.in[p.pos:])
	if err != nil && p.lenient {
		text, length, err = "&", 1, nil
	}
	if err != nil {
		return parseFailure("%s at byte offset %d", err, p.pos)
	}
	p.write(text)
	p.pos += length
	return nil
}

func (p *htmlParser) startTag() error {
	begin := p.pos
	p.pos++
	name := strings.ToLower(p.takeUntil(" \t\r\n>"))
	if p.pos == len(p.in) {
		return parseFailure("Unclosed start tag at byte offset %d", begin)
	}
	if !supportedTag(name) {
		return parseFailure("Unsupported start tag %q at byte offset %d", name, begin)
	}
	tag := openTag{name: name, offset: p.units, bytes: p.out.Len()}
	for {
		p.skipSpace()
		if p.peek(0) == '>' {
			break
		}
		if err := p.attribute(&tag, begin); err != nil {
			return err
		}
	}
	p.pos++
	if name == "span" && tag.argument != "spoiler" {
		return parseFailure("Tag \"span\" must have class \"tg-spoiler\" at byte offset %d", begin)
	}
	p.open = append(p.open, tag)
	return nil
}

// attribute reads one attribute and keeps its value when the tag has a use for it.
func (p *htmlParser) attribute(tag *openTag, begin int) error {
	unclosed := parseFailure("Unclosed start tag %q at byte offset %d", tag.name, begin)
	if p.pos == len(p.in) {
		return unclosed
	}
	name := strings.ToLower(p.takeUntil(" \t\r\n=>/\"'"))
	if name == "" {
		return parseFailure("Empty attribute name in the tag %q at byte offset %d", tag.name, begin)
	}
	p.skipSpace()
	if p.peek(0) != '=' {
		if p.pos == len(p.in) {
			return unclosed
		}
		return tag.set(name, "", begin)
	}
	p.pos++
	p.skipSpace()
	value, err := p.attributeValue()
	if err != nil {
		return err
	}
	if p.pos == len(p.in) {
		return unclosed
	}
	return tag.set(name, value, begin)
}

func (p *htmlParser) attributeValue() (string, error) {
	quote := p.peek(0)
	if quote != '"' && quote != '\'' {
		begin := p.pos
		value := strings.ToLower(p.takeWhile(isTokenByte))
		if next := p.peek(0); next != 0 && next != '>' && !isSpaceByte(next) {
			return "", parseFailure("Unexpected end of name token at byte offset %d", begin)
		}
		return value, nil
	}
	p.pos++
	var value strings.Builder
	for p.pos < len(p.in) && p.in[p.pos] != quote {
		if p.in[p.pos] != '&' {
			value.WriteByte(p.in[p.pos])
			p.pos++
			continue
		}
		text, length, err := decodeReference(p.in[p.pos:])
		if err != nil {
			text, length = "&", 1 // addresses hold ampersands that look like references
		}
		value.WriteString(text)
		p.pos += length
	}
	if p.pos < len(p.in) {
		p.pos++
	}
	return value.String(), nil
}

// set keeps the attributes that carry meaning; the others are ignored, as on the real server.
func (t *openTag) set(name, value string, begin int) error {
	switch t.name + " " + name {
	case "a href", "tg-emoji emoji-id":
		t.argument = value
	case "tg-time unix":
		if !isDigits(value) {
			return parseFailure("Invalid unix time specified at byte offset %d", begin)
		}
		t.argument = value
	case "tg-time format":
		t.format = value
	case "blockquote expandable":
		t.argument = "expandable"
	case "code class":
		if language, ok := strings.CutPrefix(value, "language-"); ok {
			t.argument = language
		}
	case "span class":
		if class, ok := strings.CutPrefix(value, "tg-"); ok {
			t.argument = class
		}
	}
	if t.name == "tg-emoji" && name == "emoji-id" && !isDigits(value) {
		return parseFailure("Invalid custom emoji identifier specified at byte offset %d", begin)
	}
	return nil
}

func (p *htmlParser) endTag() error {
	begin := p.pos
	if len(p.open) == 0 {
		return parseFailure("Unexpected end tag at byte offset %d", begin)
	}
	p.pos += 2
	name := strings.ToLower(p.takeUntil(" \t\r\n>"))
	p.skipSpace()
	if p.peek(0) != '>' {
		return parseFailure("Unclosed end tag at byte offset %d", begin)
	}
	p.pos++
	tag := p.open[len(p.open)-1]
	if name != "" && name != tag.name {
		return parseFailure("Unmatched end tag at byte offset %d, expected \"</%s>\", found \"</%s>\"", begin, tag.name, name)
	}
	p.open = p.open[:len(p.open)-1]
	if p.units > tag.offset {
		p.close(tag)
	}
	return nil
}

func (p *htmlParser) takeUntil(stop string) string {
	return p.takeWhile(func(c byte) bool { return strings.IndexByte(stop, c) < 0 })
}

func (p *htmlParser) takeWhile(keep func(byte) bool) string {
	begin := p.pos
	for p.pos < len(p.in) && keep(p.in[p.pos]) {
		p.pos++
	}
	return p.in[begin:p.pos]
}

func (p *htmlParser) skipSpace() { p.takeWhile(isSpaceByte) }

// parseFailure is how the real server reports markup that it cannot read.
func parseFailure(format string, args ...any) error {
	return badRequest("can't parse entities: "+format, args...)
}
