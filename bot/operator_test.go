package bot_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/bot"
	"sallyport/shop"
	"sallyport/shop/shoptest"
)

const oldGroup, newGroup = -7, -1007

// memory remembers an operator's chat.
type memory struct {
	mu      sync.Mutex
	moved   int64
	greeted bool
	away    error
}

func (m *memory) OperatorChat(_ context.Context, named int64) (int64, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.moved != 0 {
		named = m.moved
	}
	return named, m.greeted, m.away
}

func (m *memory) MoveOperatorChat(_ context.Context, _, chat int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away == nil {
		m.moved = chat
	}
	return m.away
}

func (m *memory) GreetOperatorChat(context.Context, int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.greeted = true
	return nil
}

// group is a Bot API that knows one group, and how the bot is received there.
type group struct {
	mu     sync.Mutex
	number int64  // another is answered with the number that it has now
	refuse string // an answer of 403; empty is none
	calls  []string
}

func (g *group) serve(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, path.Base(r.URL.Path)+" "+r.FormValue("chat_id"))
	switch {
	case r.FormValue("chat_id") != fmt.Sprint(g.number):
		answer(400, fmt.Sprintf(`{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat",
			"parameters":{"migrate_to_chat_id":%d}}`, g.number))(w, r)
	case g.refuse != "":
		answer(403, `{"ok":false,"error_code":403,"description":"`+g.refuse+`"}`)(w, r)
	default:
		answer(200, `{"ok":true,"result":{"message_id":1}}`)(w, r)
	}
}

// is sets how the bot is received.
func (g *group) is(number int64, refuse string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.number, g.refuse = number, refuse
}

// called returns what was called since it was asked last.
func (g *group) called() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	calls := g.calls
	g.calls = nil
	return calls
}

func newOperator(t *testing.T, g *group, m *memory) *bot.Operator {
	t.Helper()
	texts, err := bot.NewTexts(time.UTC, shoptest.Providers(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, g.serve)
	return bot.NewOperator(bot.OperatorConfig{
		Sender: bot.NewSender(c, 1000), Client: c, Texts: texts, Memory: m, Chat: oldGroup, Language: shop.English,
	})
}

func TestAGroupThatBecomesASupergroupIsFollowed(t *testing.T) {
	t.Parallel()
	g, m := &group{number: newGroup}, &memory{}
	alert := bot.Alert{Component: "jobs", Code: "jobs_late"}
	tell := func(o *bot.Operator, want ...string) {
		t.Helper()
		if err := o.Tell(t.Context(), alert); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, g.called()); diff != "" {
			t.Errorf("called (+):\n%s", diff)
		}
	}
	o := newOperator(t, g, m)
	tell(o, "sendMessage -7", "sendMessage -1007")
	tell(o, "sendMessage -1007")
	tell(newOperator(t, g, m), "sendMessage -1007") // another process, or this one after a restart
	m.away = errors.New("no database")
	tell(newOperator(t, g, m), "sendMessage -7", "sendMessage -1007")
}

func TestTheOperatorsChatIsLookedAt(t *testing.T) {
	t.Parallel()
	g, m := &group{number: oldGroup}, &memory{}
	o := newOperator(t, g, m)
	check := func(unwritable bool, want ...string) {
		t.Helper()
		if err := o.Check(t.Context()); (err != nil) != unwritable || bot.Unwritable(err) != unwritable {
			t.Errorf("unwritable: %v", err)
		}
		if diff := cmp.Diff(want, g.called()); diff != "" {
			t.Errorf("called (+):\n%s", diff)
		}
	}
	check(false, "sendChatAction -7") // whether it may be written to is shown by writing
	check(false, "getChat -7")        // but not each time
	g.is(oldGroup, "Forbidden: bot was kicked from the group chat")
	check(true, "getChat -7")
	check(true, "sendChatAction -7")
	g.is(oldGroup, "")
	check(false, "sendChatAction -7")
	g.is(newGroup, "")
	check(false, "getChat -7", "getChat -1007")
	check(false, "getChat -1007")
	g.is(newGroup, "Forbidden: bot was blocked by the user")
	if err := o.Tell(t.Context(), bot.Alert{Component: "jobs", Code: "jobs_late"}); !bot.Unwritable(err) {
		t.Error(err)
	}
	g.called()
	check(true, "sendChatAction -1007") // it does not show to others that it is there
}

func TestTelegramAwayIsNotAChatThatIsWrong(t *testing.T) {
	t.Parallel()
	silent := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a server hears of who has gone only then
		hang(w, r)
	}
	for _, gone := range []http.HandlerFunc{silent, answer(502, "<html>"), answer(401, `{"ok":false,"error_code":401,"description":"Unauthorized"}`)} {
		c := clientWithin(t, time.Second, gone)
		o := bot.NewOperator(bot.OperatorConfig{Client: c, Memory: &memory{}, Chat: oldGroup})
		if err := o.Check(t.Context()); err == nil || bot.Unwritable(err) {
			t.Errorf("unwritable: %v", err)
		}
	}
}

func TestTheOperatorIsGreetedOnce(t *testing.T) {
	t.Parallel()
	g, m := &group{number: oldGroup, refuse: "Forbidden: bot was blocked by the user"}, &memory{}
	o := newOperator(t, g, m)
	if err := o.Greet(t.Context()); !bot.Unwritable(err) {
		t.Errorf("greeted where it is blocked: %v", err)
	}
	g.is(oldGroup, "")
	for range 3 {
		if err := o.Greet(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := g.called(); len(got) != 2 { // the one in vain
		t.Errorf("called %q", got)
	}
}
