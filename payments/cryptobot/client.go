package cryptobot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/outbound"
	"sallyport/shop"
)

// Limits of the service, and ours on top of them.
const (
	maxDescription = 1024
	maxLifetime    = 2678400 * time.Second
	pageSize       = 1000
	// pageStep is less than a page, because rows move between two calls.
	pageStep  = 900
	maxPages  = 5
	batchSize = 100
	// The latest payments are read in small pages, as what they are is kept in memory.
	recentSize = 100
	recentStep = 90
	recentMost = 1000
)

// Config says which app of Crypto Pay to use and how.
type Config struct {
	// BaseURL is where the methods are, such as https://pay.crypt.bot/api.
	BaseURL string
	// Token is the app's token. It appears in no error and no log.
	Token string
	// Assets are the cryptocurrencies that customers may pay in; none means
	// whatever the service offers.
	Assets []string
	// ReturnURL is where the button after the payment leads, an https address
	// that opens our bot; empty means no button.
	ReturnURL string
	// Host bounds the calls and has the connections. It is required.
	Host *outbound.Host
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Client talks to Crypto Pay. It repeats nothing by itself, and is safe for use
// by several goroutines.
//
// Its errors: the service or the way to it fails, is KindUnavailable, and says
// nothing about whether the call was carried out; the service refuses the call,
// is KindInternal, with an *APIError inside; the service says that we call too
// often, is KindLimited, and then for as long as it says no call is made.
type Client struct {
	cfg  Config
	http *http.Client
	pace *pace
}

// Descriptor describes Crypto Pay to the shop; it is paid in these assets.
func Descriptor(assets []string, gateway shop.Gateway) shop.Descriptor {
	return shop.Descriptor{Provider: shop.CryptoBot, Currency: "RUB", Assets: assets, Gateway: gateway}
}

// New returns a client. It makes no call; Check does.
func New(cfg Config) *Client {
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Client{cfg: cfg, http: cfg.Host.HTTP(), pace: newPace()}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// createParams are the parameters of createInvoice as we use it.
type createParams struct {
	CurrencyType   string `json:"currency_type"`
	Fiat           string `json:"fiat"`
	Amount         string `json:"amount"`
	AcceptedAssets string `json:"accepted_assets,omitempty"`
	Description    string `json:"description,omitempty"`
	Payload        string `json:"payload"`
	ExpiresIn      int64  `json:"expires_in"`
	AllowComments  bool   `json:"allow_comments"`
	PaidBtnName    string `json:"paid_btn_name,omitempty"`
	PaidBtnURL     string `json:"paid_btn_url,omitempty"`
}

// CreateInvoice makes an invoice of the order's price, payable until the order
// expires. It is not idempotent: after an error of KindUnavailable the invoice
// may exist, so ask FindInvoice before another try. So is one of an order whose time has
// passed: our clock may be ahead.
func (c *Client) CreateInvoice(ctx context.Context, o shop.Order, description string) (shop.Invoice, error) {
	left := min(o.ExpiresAt.Sub(c.cfg.Now()), maxLifetime)
	if left < time.Second {
		return shop.Invoice{}, shop.Unavailable(fmt.Errorf("crypto pay invoice of order %s: %w", o.ID, shop.ErrNotPayable))
	}
	assets := o.Assets
	if assets == nil { // it was placed by a program that did not note them
		assets = c.cfg.Assets
	}
	params := createParams{
		CurrencyType: "fiat", Fiat: o.Quote.Total.Currency, Amount: o.Quote.Total.Decimal(),
		AcceptedAssets: strings.Join(assets, ","), Description: shorten(description),
		Payload: payloadOf(o), ExpiresIn: int64(left / time.Second),
	}
	if c.cfg.ReturnURL != "" {
		params.PaidBtnName, params.PaidBtnURL = "openBot", c.cfg.ReturnURL
	}
	var made invoice
	if err := c.call(ctx, "createInvoice", params, &made); err != nil {
		return shop.Invoice{}, err
	}
	return made.demand(o.ID, o.ExpiresAt)
}

// payloadOf is what an invoice says of itself: its order and the customer. After the loss
// of a database, that tells whose a payment was whose order nobody knows any more.
func payloadOf(o shop.Order) string {
	return o.ID.String() + " " + strconv.FormatInt(int64(o.UserID), 10)
}

// orderOf is the order that a payload names. Earlier invoices name nothing else.
func orderOf(payload string) string {
	order, _, _ := strings.Cut(payload, " ")
	return order
}

func shorten(text string) string {
	if letters := []rune(text); len(letters) > maxDescription {
		return string(letters[:maxDescription])
	}
	return text
}

// listParams are the parameters of getInvoices as we use it.
type listParams struct {
	InvoiceIDs string `json:"invoice_ids,omitempty"`
	Status     string `json:"status,omitempty"`
	Offset     int    `json:"offset,omitempty"`
	Count      int    `json:"count"`
}

// FindInvoice returns the invoice that an earlier CreateInvoice made for the
// order, whether it is still open or was paid. It looks through the latest few
// thousand of each; an expired invoice is not found, as nobody can pay it.
func (c *Client) FindInvoice(ctx context.Context, id shop.OrderID) (shop.Invoice, bool, error) {
	for _, status := range []string{statusActive, statusPaid} {
		found, ok, err := c.findAmong(ctx, status, id.String())
		if err != nil {
			return shop.Invoice{}, false, err
		}
		if ok {
			demand, err := found.demand(id, c.cfg.Now().Add(shop.OrderLifetime))
			return demand, err == nil, err
		}
	}
	return shop.Invoice{}, false, nil
}

func (c *Client) findAmong(ctx context.Context, status, order string) (invoice, bool, error) {
	for page := range maxPages {
		rows, err := c.list(ctx, listParams{Status: status, Offset: page * pageStep, Count: pageSize})
		if err != nil {
			return invoice{}, false, err
		}
		match := slices.IndexFunc(rows, func(i invoice) bool { return orderOf(string(i.Payload)) == order })
		if match >= 0 {
			return rows[match], true, nil
		}
		if len(rows) < pageSize {
			break
		}
	}
	return invoice{}, false, nil
}

// PaidInvoices returns the payments among the invoices with these ids. Unknown
// and unpaid ones are left out; one that cannot be read is an error beside the others.
func (c *Client) PaidInvoices(ctx context.Context, externalIDs []string) ([]shop.PaymentEvent, error) {
	var events []shop.PaymentEvent
	var errs []error
	for batch := range slices.Chunk(externalIDs, batchSize) {
		params := listParams{InvoiceIDs: strings.Join(batch, ","), Status: statusPaid, Count: len(batch)}
		rows, listErr := c.ask(ctx, params)
		found, readErr := rows.events()
		errs = append(errs, listErr, readErr)
		for _, event := range found {
			if slices.Contains(batch, event.ExternalID) {
				events = append(events, event)
			}
		}
	}
	return events, errors.Join(errs...)
}

// RecentPaid returns a page of the thousand payments that the service names first, the
// latest as far as observed: the order of its list is not documented. Two pages overlap,
// because rows move between two calls.
func (c *Client) RecentPaid(ctx context.Context, page int) (events []shop.PaymentEvent, more bool, err error) {
	params := listParams{Status: statusPaid, Offset: page * recentStep, Count: recentSize}
	rows, err := c.ask(ctx, params)
	if err != nil {
		return nil, false, err
	}
	events, err = rows.events()
	return events, len(rows) == recentSize && params.Offset+recentSize < recentMost, err
}

// ask is list for a question that nobody waits for.
func (c *Client) ask(ctx context.Context, params listParams) (invoices, error) {
	if err := c.pace.question(ctx); err != nil {
		return nil, fmt.Errorf("crypto pay getInvoices: %w", err)
	}
	return c.list(ctx, params)
}

func (c *Client) list(ctx context.Context, params listParams) (rows invoices, err error) {
	err = c.call(ctx, "getInvoices", params, &rows)
	return rows, err
}

// events returns the payments among the invoices, and an error for each that cannot be read.
func (l invoices) events() (events []shop.PaymentEvent, err error) {
	var unread []error
	for _, row := range l {
		event, err := row.event()
		switch {
		case err == nil:
			events = append(events, event)
		case !errors.Is(err, shop.ErrIrrelevant):
			unread = append(unread, err)
		}
	}
	return events, errors.Join(unread...)
}
