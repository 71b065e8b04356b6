package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"sallyport/sandbox/telegram"
)

const (
	maxWait = 30 * time.Second
	// heartbeat is how often a silent stream of events shows that it lives.
	heartbeat = 15 * time.Second
)

// done answers a request that has nothing to tell.
type done struct {
	OK bool `json:"ok"`
}

// people are the routes by which someone's phone is used.
func (c *control) people(r chi.Router) {
	r.Get("/users", does(func(*http.Request) (any, error) { return c.world.Telegram.Users(), nil }))
	r.Post("/users/{id}/messages", does(c.write))
	r.Post("/users/{id}/press", does(c.press))
	r.Get("/users/{id}/chat", does(c.chat))
	r.Get("/users/{id}/events", c.events)
	r.Post("/users/{id}/block", does(c.block(true)))
	r.Post("/users/{id}/unblock", does(c.block(false)))
	r.Post("/users/{id}/stars/{message}/pay", does(c.payStars))
	r.Post("/users/{id}/stars/links/{link}/pay", does(c.payLink))
	r.Get("/files/{file}", c.file)
	r.Get("/violations", does(func(*http.Request) (any, error) {
		return append([]string{}, c.world.Telegram.Violations()...), nil
	}))
}

func (c *control) write(r *http.Request) (any, error) {
	var in struct {
		Text         string `json:"text"`
		FirstName    string `json:"first_name"`
		LastName     string `json:"last_name"`
		Username     string `json:"username"`
		LanguageCode string `json:"language_code"`
	}
	id, err := number(r, "id")
	if err != nil {
		return nil, err
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	known := c.world.Telegram.Chat(id).User
	user := telegram.User{
		ID: id, FirstName: either(in.FirstName, known.FirstName, "User "+strconv.FormatInt(id, 10)),
		LastName: either(in.LastName, known.LastName), Username: either(in.Username, known.Username),
		LanguageCode: either(in.LanguageCode, known.LanguageCode),
	}
	message, err := c.world.Telegram.SendText(user, in.Text)
	return struct {
		MessageID int `json:"message_id"`
	}{message}, err
}

func (c *control) press(r *http.Request) (any, error) {
	var in struct {
		MessageID int    `json:"message_id"`
		Data      string `json:"data"`
		Text      string `json:"text"`
	}
	id, err := number(r, "id")
	if err != nil {
		return nil, err
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if (in.Data == "") == (in.Text == "") {
		return nil, invalid("want either data or text of the button")
	}
	if in.MessageID != 0 && in.Data != "" { // the emulator knows best why not
		query, err := c.world.Telegram.Press(id, in.MessageID, in.Data)
		return Pressed{MessageID: in.MessageID, QueryID: query}, err
	}
	return c.world.press(id, in.MessageID, func(b telegram.Button) bool {
		return in.Data != "" && b.Data == in.Data || in.Text != "" && strings.Contains(b.Text, in.Text)
	})
}

func (c *control) chat(r *http.Request) (any, error) {
	id, err := number(r, "id")
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	if !query.Has("after") {
		return c.world.Telegram.Chat(id), nil
	}
	after, err := strconv.ParseInt(query.Get("after"), 10, 64)
	if err != nil {
		return nil, invalid("after: want the version of a chat")
	}
	wait, err := time.ParseDuration(either(query.Get("wait"), maxWait.String()))
	if err != nil || wait < 0 {
		return nil, invalid("wait: want a duration such as 5s")
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, maxWait))
	defer cancel()
	chat, err := c.world.Telegram.Wait(ctx, id, after)
	if ctx.Err() != nil {
		return chat, nil // unchanged, as its version says
	}
	return chat, err
}

// events sends the chat at once and at every change.
func (c *control) events(w http.ResponseWriter, r *http.Request) {
	id, err := number(r, "id")
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	for seen := int64(-1); ; { // the chat as it is counts as the first change
		event, version, err := c.nextEvent(r.Context(), id, seen)
		if err != nil {
			return
		}
		//nolint:gosec // JSON, and the type of the answer says so
		if _, err = io.WriteString(w, event); err != nil || out.Flush() != nil {
			return
		}
		seen = version
	}
}

// nextEvent returns the chat at its next change, or a comment if that takes long.
func (c *control) nextEvent(ctx context.Context, id, seen int64) (string, int64, error) {
	limit, cancel := context.WithTimeout(ctx, heartbeat)
	defer cancel()
	chat, err := c.world.Telegram.Wait(limit, id, seen)
	switch {
	case err == nil:
		text, err := json.Marshal(chat)
		return fmt.Sprintf("data: %s\n\n", text), chat.Version, err
	case limit.Err() != nil && ctx.Err() == nil:
		return ": still here\n\n", seen, nil
	default:
		return "", seen, err
	}
}

func (c *control) block(blocked bool) action {
	return func(r *http.Request) (any, error) {
		id, err := number(r, "id")
		if err != nil {
			return nil, err
		}
		return done{true}, c.world.Telegram.SetBlocked(id, blocked)
	}
}

func (c *control) payStars(r *http.Request) (any, error) {
	id, err := number(r, "id")
	if err != nil {
		return nil, err
	}
	message, err := number(r, "message")
	if err != nil {
		return nil, err
	}
	return done{true}, c.world.Telegram.PayStars(id, int(message))
}

// payLink pays the invoice of a link, which is named by what follows telegram.LinkPrefix.
func (c *control) payLink(r *http.Request) (any, error) {
	id, err := number(r, "id")
	if err != nil {
		return nil, err
	}
	return done{true}, c.world.Telegram.PayLink(id, telegram.LinkPrefix+chi.URLParam(r, "link"))
}

func (c *control) file(w http.ResponseWriter, r *http.Request) {
	data, mime, ok := c.world.Telegram.File(chi.URLParam(r, "file"))
	if !ok {
		writeError(w, absent("there is no such file"))
		return
	}
	w.Header().Set("Content-Type", mime)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	w.Header().Set("Cache-Control", "max-age=3600, immutable")
	_, _ = w.Write(data) //nolint:gosec // what the bot uploaded, under its own type
}
