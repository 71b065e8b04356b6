package books

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"sallyport/sandbox"
)

// customer is one who paid, and what the shop promised them.
type customer struct {
	User    int64
	Access  string
	UUID    uuid.UUID
	Status  string
	Expires time.Time
	Now     time.Time // by the database's clock
}

// sale is one order that was paid and delivered.
type sale struct {
	User            int64
	Paid, Delivered time.Time
	Seconds         int64
}

// end is the end of a subscription by the rule: every period that was paid for, and
// every wait for access, from a payment to its delivery.
func end(sales []sale) (ends time.Time) {
	for i := 0; i < len(sales); {
		began, served, periods := sales[i].Paid, sales[i].Delivered, time.Duration(0)
		for first := i; i < len(sales) && (i == first || !sales[i].Paid.After(served)); i++ { // who waits already, waits once
			periods += time.Duration(sales[i].Seconds) * time.Second
		}
		if ends.Before(began) {
			ends = began
		}
		ends = ends.Add(periods + served.Sub(began))
	}
	return ends
}

// customers are all who paid.
func (b *Books) customers(ctx context.Context) ([]customer, error) {
	return rows[customer](ctx, b, `
		SELECT user_id, access_id, uuid, status, expires_at, now() FROM subscriptions s
		WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = s.user_id AND o.status = 'paid')`)
}

// CheckPeriods checks that everybody has the time that they paid for and the time that
// they waited, no more and no less.
func (b *Books) CheckPeriods(ctx context.Context) error {
	list, err := b.customers(ctx)
	if err != nil {
		return err
	}
	all, err := rows[sale](ctx, b, `
		SELECT user_id, paid_at, coalesce(delivered_at, now()), period_seconds FROM orders
		WHERE status = 'paid' ORDER BY user_id, paid_at`)
	if err != nil {
		return err
	}
	of := make(map[int64][]sale)
	for _, s := range all {
		of[s.User] = append(of[s.User], s)
	}
	var problems []error
	for _, c := range list {
		off := c.Expires.Sub(end(of[c.User]))
		if off.Abs() > b.Slack || !c.fits(b.Early) {
			problems = append(problems, fmt.Errorf("customer %d is %s at %s until %s, which is %s off what %d orders and the wait for them give",
				c.User, c.Status, c.Now, c.Expires, off, len(of[c.User])))
		}
	}
	return errors.Join(problems...)
}

// fits says whether the status goes with the end.
func (c customer) fits(early time.Duration) bool {
	switch c.Status {
	case "active":
		return c.Expires.After(c.Now)
	case "expired":
		return !c.Expires.After(c.Now.Add(early))
	default:
		return false
	}
}

// CheckNode checks that the VPN server lets those in who are entitled, and nobody else.
func (b *Books) CheckNode(ctx context.Context) error {
	let, err := b.letIn(ctx)
	if err != nil {
		return err
	}
	list, err := b.customers(ctx)
	if err != nil {
		return err
	}
	var problems []error
	entitled := 0
	for _, c := range list {
		want := ""
		if c.Status == "active" {
			want = c.UUID.String()
			entitled++
		}
		if let[c.Access] != want {
			problems = append(problems, fmt.Errorf("customer %d is %s: the VPN server knows %q as %q", c.User, c.Status, c.Access, let[c.Access]))
		}
	}
	if len(let) != entitled {
		problems = append(problems, fmt.Errorf("the VPN server lets %d in, want %d", len(let), entitled))
	}
	return errors.Join(problems...)
}

// letIn asks the VPN server itself, past all faults: the UUIDs by access id.
func (b *Books) letIn(ctx context.Context) (map[string]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.world.Ready().ControlURL+"/xray/users", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("users of xray: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("users of xray: %w", err)
	}
	defer response.Body.Close()
	var users []struct{ ID, UUID string }
	if err := json.NewDecoder(response.Body).Decode(&users); err != nil {
		return nil, fmt.Errorf("users of xray: %w", err)
	}
	let := make(map[string]string, len(users))
	for _, u := range users {
		let[u.ID] = u.UUID
	}
	return let, nil
}

// Over is what customers are told, in English, whose access has ended.
const Over = "Your access has ended"

// CheckKeys checks that everybody who paid has their key in the chat. Whose time ran
// out before they could be written to was told that instead.
func (b *Books) CheckKeys(ctx context.Context) error {
	list, err := b.customers(ctx)
	problems := []error{err}
	for _, c := range list {
		told := c.Status == "expired" && shows(b.world, c.User, Over)
		if !told && !shows(b.world, c.User, "vless://"+c.UUID.String()) {
			problems = append(problems, fmt.Errorf("customer %d never got the key", c.User))
		}
	}
	return errors.Join(problems...)
}

// shows says whether the bot has written the text to the customer.
func shows(w *sandbox.World, user int64, text string) bool {
	for _, m := range w.Telegram.Chat(user).Messages {
		if m.FromBot && strings.Contains(m.Text, text) {
			return true
		}
	}
	return false
}
