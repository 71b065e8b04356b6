package telegram_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// brief writes the entities of a message in a short form.
func brief(m sent) string {
	var out []string
	for _, e := range m.Entities {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %d+%d %s%s%s", e.Type, e.Offset, e.Length, e.URL, e.Language, e.Emoji)))
	}
	return strings.Join(out, ", ")
}

func TestHTMLBecomesTextAndEntities(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	cases := map[string]struct{ html, text, entities, shown string }{
		"plain text":             {"a &lt;b&gt; &amp; &quot;c&quot; &#33; &#x1F511;", "a <b> & \"c\" ! 🔑", "", "a &lt;b&gt; &amp; &#34;c&#34; ! 🔑"},
		"a bare ampersand":       {"Tom & Jerry AT&T", "Tom & Jerry AT&T", "", "Tom &amp; Jerry AT&amp;T"},
		"bold twice":             {"<b>a</b><strong>b</strong>", "ab", "bold 0+1, bold 1+1", "<b>a</b><b>b</b>"},
		"italic twice":           {"<i>a</i><em>b</em>", "ab", "italic 0+1, italic 1+1", "<i>a</i><i>b</i>"},
		"underline twice":        {"<u>a</u><ins>b</ins>", "ab", "underline 0+1, underline 1+1", "<u>a</u><u>b</u>"},
		"three kinds of strike":  {"<s>a</s><strike>b</strike><del>c</del>", "abc", "strikethrough 0+1, strikethrough 1+1, strikethrough 2+1", "<s>a</s><s>b</s><s>c</s>"},
		"two kinds of spoiler":   {`<tg-spoiler>a</tg-spoiler><span class="tg-spoiler">b</span>`, "ab", "spoiler 0+1, spoiler 1+1", `<span class="tg-spoiler">a</span><span class="tg-spoiler">b</span>`},
		"nesting":                {"<b>a<i>b</i></b>", "ab", "bold 0+2, italic 1+1", "<b>a<i>b</i></b>"},
		"upper-case tags":        {"<B>a</B>", "a", "bold 0+1", "<b>a</b>"},
		"a short end tag":        {"<b>a</>", "a", "bold 0+1", "<b>a</b>"},
		"UTF-16 offsets":         {"🔑<b>🔑</b>x", "🔑🔑x", "bold 2+2", "🔑<b>🔑</b>x"},
		"a link":                 {`<a href="https://a.b/?x=1&amp;y=2&z=3">go</a>`, "go", "text_link 0+2 https://a.b/?x=1&y=2&z=3", `<a href="https://a.b/?x=1&amp;y=2&amp;z=3" rel="noopener noreferrer nofollow">go</a>`},
		"a link without quotes":  {`<a href=example.com>go</a>`, "go", "text_link 0+2 http://example.com/", `<a href="http://example.com/" rel="noopener noreferrer nofollow">go</a>`},
		"a link to nowhere":      {`<a href="javascript:alert(1)">go</a>`, "go", "", "go"},
		"a link that is text":    {`<a>https://a.b</a>`, "https://a.b", "text_link 0+11 https://a.b/", `<a href="https://a.b/" rel="noopener noreferrer nofollow">https://a.b</a>`},
		"code":                   {"<code>vless://x</code>", "vless://x", "code 0+9", "<code>vless://x</code>"},
		"code drops what is in":  {"<code>a<b>b</b></code>", "ab", "code 0+2", "<code>ab</code>"},
		"pre with a language":    {`<pre><code class="language-go">x</code></pre>`, "x", "pre 0+1 go", "<pre>x</pre>"},
		"quotes":                 {"<blockquote>a</blockquote><blockquote expandable>b</blockquote>", "ab", "blockquote 0+1, expandable_blockquote 1+1", "<blockquote>a</blockquote><blockquote>b</blockquote>"},
		"an emoji":               {`<tg-emoji emoji-id="5368">👍</tg-emoji>`, "👍", "custom_emoji 0+2 5368", "👍"},
		"an empty tag":           {"a<b></b>", "a", "", "a"},
		"white space is trimmed": {" \n<b> a </b>\n ", "a", "bold 0+1", "<b>a</b>"},
		"found entities":         {"use /help or @support_bot, see https://a.b.", "use /help or @support_bot, see https://a.b.", "bot_command 4+5, mention 13+12, url 31+11", "use /help or @support_bot, see https://a.b."},
		"nothing found in code":  {"<code>/help</code>", "/help", "code 0+5", "<code>/help</code>"},
		"unused attributes":      {`<b class="x" id='y'>a</b>`, "a", "bold 0+1", "<b>a</b>"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			m := w.send(tc.html, params{"parse_mode": "HTML"})
			if m.Text != tc.text {
				t.Errorf("text %q, want %q", m.Text, tc.text)
			}
			if diff := cmp.Diff(tc.entities, brief(m)); diff != "" {
				t.Error(diff)
			}
			messages := w.tg.Chat(1001).Messages
			if diff := cmp.Diff(tc.shown, messages[len(messages)-1].HTML); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBrokenHTML(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	cases := map[string]struct{ html, text string }{
		"an unknown tag":            {"a <div>b</div>", `Unsupported start tag "div" at byte offset 2`},
		"a stray less-than":         {"1 < 2 > 0", `Unsupported start tag "" at byte offset 2`},
		"a less-than at the end":    {"ж <", `Unclosed start tag at byte offset 3`},
		"a tag that stays open":     {"<b>a", `Can't find end tag corresponding to start tag "b"`},
		"an end without a start":    {"a</b>", `Unexpected end tag at byte offset 1`},
		"tags that cross":           {"<b><i>a</b></i>", `Unmatched end tag at byte offset 7, expected "</i>", found "</b>"`},
		"an end tag without end":    {"<b>a</b", `Unclosed end tag at byte offset 4`},
		"a span of another class":   {`<span class="red">a</span>`, `Tag "span" must have class "tg-spoiler" at byte offset 0`},
		"an attribute without name": {`<a ="x">a</a>`, `Empty attribute name in the tag "a" at byte offset 0`},
		"an open attribute":         {`<a href="x>a</a>`, `Unclosed start tag "a" at byte offset 0`},
		"an open tag after a name":  {`<a href`, `Unclosed start tag "a" at byte offset 0`},
		"a broken name token":       {`<a href=x"y>a</a>`, `Unexpected end of name token at byte offset 8`},
		"a wrong emoji":             {`<tg-emoji emoji-id="x">a</tg-emoji>`, `Invalid custom emoji identifier specified`},
		"an unknown HTML entity":    {"a&nbsp;b", `sandbox: unsupported HTML entity "&nbsp;" at byte offset 1`},
		"the zero character":        {"a&#0;", `sandbox: unsupported HTML entity "&#0" at byte offset 1`},
		"a character out of range":  {"&#x110000;", `sandbox: unsupported HTML entity "&#x110000"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			w.refused(400, "Bad Request: can't parse entities: "+tc.text, "sendMessage",
				params{"chat_id": 1001, "text": tc.html, "parse_mode": "html"})
		})
	}
}

func TestOtherParseModes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	w.refused(400, "unsupported parse_mode", "sendMessage", params{"chat_id": 1001, "text": "x", "parse_mode": "BBCode"})
	m := w.send("<b>", nil)
	if m.Text != "<b>" || len(m.Entities) != 0 {
		t.Errorf("without a mode: %+v", m)
	}
}

func TestExplicitEntities(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.send("  abcd", params{"entities": []params{
		{"type": "bold", "offset": 2, "length": 3}, {"type": "italic", "offset": 4, "length": 99}, {"type": "code", "offset": 90, "length": 1},
	}})
	if got := brief(m); got != "bold 0+3, italic 2+2" {
		t.Errorf("got %s", got)
	}
	messages := w.tg.Chat(1001).Messages
	if got := messages[1].HTML; got != "<b>ab<i>c</i></b><i>d</i>" {
		t.Errorf("crossing entities are shown as %s", got)
	}
}

func TestMentionsOfPeopleWithoutUsername(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	m := w.send(`<a href="tg://user?id=1001">Ann</a>`, params{"parse_mode": "HTML"})
	if got := brief(m); got != "text_mention 0+3" {
		t.Errorf("got %s", got)
	}
}

func TestEscapedTextSurvives(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching(`[a-zа-я🔑<>&"';#/=]{1,40}`).Draw(r, "text")
		m := w.send("<b>"+escape.Replace(text)+"</b>", params{"parse_mode": "HTML"})
		if m.Text != text {
			r.Fatalf("got %q, want %q", m.Text, text)
		}
		messages := w.tg.Chat(1001).Messages
		shown := messages[len(messages)-1].HTML
		if !strings.HasPrefix(shown, "<b>") || strings.Count(shown, "<") != 2 {
			r.Fatalf("unsafe HTML %q", shown)
		}
	})
}

func TestNoMarkupCrashesTheParser(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.start()
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching(`([a<>/&;"'= b#x1🔑]|<b>|</b>|<a href=|<pre>|<code>|&amp;|expandable|tg-){1,30}`).Draw(r, "html")
		got := w.call("sendMessage", params{"chat_id": 1001, "text": text, "parse_mode": "HTML"})
		if got.Status != 200 && got.Status != 400 {
			r.Fatalf("%q: %d %s", text, got.Status, got.Description)
		}
		w.tg.Chat(1001)
	})
}
