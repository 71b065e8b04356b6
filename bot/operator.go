package bot

import (
	"context"
	"strings"
	"time"

	"sallyport/shop"
)

// Alert is something wrong that the operator must know of. Its code names the texts
// that say what it is and what to do.
type Alert struct {
	Component string
	Code      string
	Reason    string // as found; may be empty
	Since     time.Time
	Over      time.Time // zero while it lasts
}

// Operator is the chat of those who run the shop.
type Operator struct {
	sender   *Sender
	texts    *Texts
	chat     int64
	language shop.Language
}

// NewOperator returns the operator's chat, in which the language is spoken.
func NewOperator(sender *Sender, texts *Texts, chat int64, language shop.Language) *Operator {
	return &Operator{sender: sender, texts: texts, chat: chat, language: language}
}

// Tell tells of an alert: what, since when, what to do; or that it is over.
func (o *Operator) Tell(ctx context.Context, a Alert) error {
	_, err := o.sender.Send(ctx, Reply, o.chat, Screen{Name: "alert", Text: o.text(a)})
	return err
}

func (o *Operator) text(a Alert) string {
	say := func(key string, f fields) string { return o.texts.in(o.language, key, f) }
	title := say("alert."+a.Code, nil)
	if !a.Over.IsZero() {
		return say("alert.ends", fields{
			"Title": title, "Component": a.Component, "Took": a.Over.Sub(a.Since).Round(time.Second).String(),
		})
	}
	text := say("alert.begins", fields{
		"Title": title, "Component": a.Component, "Reason": a.Reason,
		"Since": o.texts.date(o.language, a.Since), "Todo": say("alert."+a.Code+".todo", nil),
	})
	return strings.Replace(text, a.Component+": \n", a.Component+"\n", 1) // there is no reason
}
