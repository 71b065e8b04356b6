package stars

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/shop"
)

// Limits of the Bot API, and ours on top of them.
const (
	maxTitle       = 32
	maxDescription = 255
	pageSize       = 100
	// recentPages is how many pages of transactions, the latest, are read.
	recentPages = 10
	// maxPages bounds the search for the latest page.
	maxPages = 1 << 20
)

// linkPrefix is what an invoice link begins with; the rest is the link's own name.
const linkPrefix = "https://t.me/$"

// Call calls a method of the Bot API and decodes its result into result.
type Call func(ctx context.Context, method string, params map[string]string, result any) error

// Client sells for Stars. It has no state of its own.
type Client struct {
	call Call
}

// Descriptor describes Telegram's Stars to the shop.
func Descriptor(gateway shop.Gateway) shop.Descriptor {
	return shop.Descriptor{Provider: shop.Stars, Currency: shop.XTR, Gateway: gateway}
}

// New returns a client that reaches the Bot API by call.
func New(call Call) *Client { return &Client{call: call} }

// internal says that err is for an operator, and that to repeat the call is no use.
func internal(err error) error {
	return &shop.Error{Kind: shop.KindInternal, Key: "internal", Err: err}
}

// CreateInvoice makes a link by which the order's price is paid. An order may have
// several: a second one does no harm, since an order is charged for only while it is
// open, and while no other checkout of it is under way.
func (c *Client) CreateInvoice(ctx context.Context, o shop.Order, description string) (shop.Invoice, error) {
	title := shorten(description, maxTitle)
	prices, err := json.Marshal([]price{{Label: title, Amount: o.Quote.Total.Minor}})
	if err != nil {
		return shop.Invoice{}, internal(err)
	}
	var link string
	if err := c.call(ctx, "createInvoiceLink", map[string]string{
		"title": title, "description": shorten(description, maxDescription), "payload": o.ID.String(),
		"provider_token": "", "currency": o.Quote.Total.Currency, "prices": string(prices),
	}, &link); err != nil {
		return shop.Invoice{}, err
	}
	name, ok := strings.CutPrefix(link, linkPrefix)
	if !ok || name == "" {
		return shop.Invoice{}, internal(errors.New("createInvoiceLink: the answer is no invoice link"))
	}
	return shop.Invoice{Provider: shop.Stars, ExternalID: name, OrderID: o.ID, URL: link, ExpiresAt: o.ExpiresAt}, nil
}

type price struct {
	Label  string `json:"label"`
	Amount int64  `json:"amount"`
}

func shorten(text string, most int) string {
	if letters := []rune(text); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return text
}

// FindInvoice finds none: Telegram keeps no list of links, and another does no harm.
func (c *Client) FindInvoice(context.Context, shop.OrderID) (shop.Invoice, bool, error) {
	return shop.Invoice{}, false, nil
}

// RecentPaid returns the payments among the latest thousand transactions; of those that
// were given back, the refund. A refund stands after its payment, so it returns none
// unless the list was read to its end. A row that cannot be read is a payment of no
// order, so that it is kept for an operator. All of it is one page.
func (c *Client) RecentPaid(ctx context.Context, _ int) (events []shop.PaymentEvent, more bool, err error) {
	last, err := c.lastPage(ctx)
	if err != nil {
		return nil, false, err
	}
	var rows []json.RawMessage
	for page := max(0, last-recentPages+1); page <= last; page++ {
		read, err := c.page(ctx, page*pageSize, pageSize)
		if err != nil {
			return nil, false, err
		}
		rows = append(rows, read...)
	}
	return payments(rows), false, nil
}

// payments returns the payments among the rows that were not given back, the refunds of
// the others, and the rows that cannot be read.
func payments(rows []json.RawMessage) []shop.PaymentEvent {
	var events []shop.PaymentEvent
	refunded := make(map[string]bool)
	for _, raw := range rows {
		var row transaction
		err := json.Unmarshal(raw, &row) // reads what can be read, whatever else cannot
		if row.Receiver != nil {
			refunded[row.ID] = true
		}
		if err != nil {
			events = append(events, unread(raw))
		} else if event, ok := row.event(raw); ok {
			events = append(events, event)
		}
	}
	return slices.DeleteFunc(events, func(e shop.PaymentEvent) bool { return refunded[e.ExternalID] && !e.Refunded })
}

// unread stands for a row that cannot be read. It has a name of its own, so that
// it is kept once.
func unread(raw []byte) shop.PaymentEvent {
	digest := sha256.Sum256(raw)
	return shop.PaymentEvent{
		Provider: shop.Stars, ExternalID: "unread-" + hex.EncodeToString(digest[:8]),
		Invoiced: shop.Money{Currency: shop.XTR}, Raw: raw,
	}
}

// lastPage returns the number of the page with the latest transactions. Telegram
// lists the oldest first and does not say how many there are, so the end is looked
// for: by doubling, then by halving.
func (c *Client) lastPage(ctx context.Context) (int, error) {
	full, empty := 0, 1 // a page that is there, or the first; and, once found, one that is not
	for {
		there, err := c.has(ctx, empty)
		if err != nil {
			return 0, err
		}
		if !there {
			break
		}
		if full, empty = empty, 2*empty; empty > maxPages {
			return 0, internal(errors.New("getStarTransactions: the list has no end"))
		}
	}
	for empty-full > 1 {
		middle := (full + empty) / 2
		there, err := c.has(ctx, middle)
		switch {
		case err != nil:
			return 0, err
		case there:
			full = middle
		default:
			empty = middle
		}
	}
	return full, nil
}

// has says whether there are transactions on a page.
func (c *Client) has(ctx context.Context, page int) (bool, error) {
	rows, err := c.page(ctx, page*pageSize, 1)
	return len(rows) > 0, err
}

// page returns at most limit transactions, after the first so many.
func (c *Client) page(ctx context.Context, offset, limit int) ([]json.RawMessage, error) {
	var answer struct {
		Transactions []json.RawMessage `json:"transactions"`
	}
	params := map[string]string{"offset": strconv.Itoa(offset), "limit": strconv.Itoa(limit)}
	err := c.call(ctx, "getStarTransactions", params, &answer)
	return answer.Transactions, err
}

// transaction is as much of a StarTransaction as we use.
type transaction struct {
	ID       string           `json:"id"`
	Amount   int64            `json:"amount"`
	Date     int64            `json:"date"`
	Source   *partner         `json:"source"`
	Receiver *json.RawMessage `json:"receiver"`
}

// partner is the other side of a transaction.
type partner struct {
	Type            string `json:"type"`
	TransactionType string `json:"transaction_type"`
	InvoicePayload  string `json:"invoice_payload"`
}

// event returns the payment of an invoice by a person that the transaction is, made or
// given back, if it is one.
func (t transaction) event(raw []byte) (shop.PaymentEvent, bool) {
	person := t.Source
	if t.Receiver != nil {
		person = new(partner)
		if json.Unmarshal(*t.Receiver, person) != nil {
			return shop.PaymentEvent{}, false
		}
	}
	if person == nil || person.Type != "user" || person.TransactionType != "invoice_payment" || t.ID == "" {
		return shop.PaymentEvent{}, false
	}
	return shop.PaymentEvent{
		Provider: shop.Stars, ExternalID: t.ID, OrderRef: person.InvoicePayload,
		Invoiced: shop.Money{Minor: t.Amount, Currency: shop.XTR}, Refunded: t.Receiver != nil,
		PaidAt: time.Unix(t.Date, 0).UTC(), Raw: raw,
	}, true
}
