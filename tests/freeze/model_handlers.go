package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// incoming is as much of an update as the model needs.
type incoming struct {
	Message *struct {
		From struct{ ID int64 }
	} `json:"message"`
	Query *struct {
		ID      string
		From    struct{ ID int64 }
		Data    string
		Message struct {
			MessageID int64 `json:"message_id"`
		}
	} `json:"callback_query"`
}

// screens are the texts and the buttons, as pairs of label and data.
func screens() map[string]struct {
	text    string
	buttons [][2]string
} {
	type screen = struct {
		text    string
		buttons [][2]string
	}
	return map[string]screen{
		"language": {"Choose your language", [][2]string{{"English", "menu"}}},
		"menu":     {"Fast and private", [][2]string{{"Buy access", "plans"}, {"Profile", "profile"}}},
		"profile":  {"Profile", [][2]string{{"Menu", "menu"}}},
		"plans":    {"Choose a plan", [][2]string{{"Plus", "plan"}}},
		"plan":     {"For how long?", [][2]string{{"30 days", "offer"}}},
		"offer":    {"How would you like to pay?", [][2]string{{"CryptoBot", "pay"}}},
	}
}

// update takes an update and works at it in the background: the audited shop polled,
// and had every update at once too, in memory alone.
func (m *model) update(_ http.ResponseWriter, r *http.Request) {
	var u incoming
	if json.NewDecoder(r.Body).Decode(&u) != nil {
		return
	}
	m.waiting.Add(1)
	m.tasks.Go(func() {
		defer m.waiting.Add(-1)
		select {
		case m.places <- struct{}{}: // MAX_CONCURRENT_UPDATES
		case <-m.life.Done():
			return
		}
		defer func() { <-m.places }()
		m.handle(m.life, u)
	})
}

// handle is a handler with what stands before each: the guard that asks whether the
// tables are there, and the customer's language, a query each. What goes wrong is
// answered with a general text.
func (m *model) handle(ctx context.Context, u incoming) {
	if u.Message != nil {
		_ = m.greet(ctx, u.Message.From.ID)
		return
	}
	if u.Query == nil {
		return
	}
	text := ""
	if err := m.pressed(ctx, u); err != nil {
		text = "Something went wrong"
	}
	_ = m.call(ctx, "answerCallbackQuery", url.Values{"callback_query_id": {u.Query.ID}, "text": {text}})
}

func (m *model) greet(ctx context.Context, user int64) error {
	if err := m.before(ctx, user); err != nil {
		return err
	}
	if err := m.exec(ctx, `INSERT INTO users VALUES ($1, 'en') ON CONFLICT DO NOTHING`, user); err != nil {
		return err
	}
	s := screens()["language"]
	return m.call(ctx, "sendMessage", show(user, 0, s.text, s.buttons, ""))
}

func (m *model) before(ctx context.Context, user int64) error {
	if err := m.exec(ctx, `SELECT to_regclass('users')`); err != nil {
		return err
	}
	return m.exec(ctx, `SELECT language FROM users WHERE telegram_id = $1`, user)
}

func (m *model) pressed(ctx context.Context, u incoming) error {
	user, message, data := u.Query.From.ID, u.Query.Message.MessageID, u.Query.Data
	if err := m.before(ctx, user); err != nil {
		return err
	}
	if data == "pay" {
		return m.order(ctx, user, message)
	}
	if data == "profile" {
		if err := m.exec(ctx, `SELECT status, expires_at FROM subscriptions WHERE telegram_id = $1`, user); err != nil {
			return err
		}
	}
	s, known := screens()[data]
	if !known {
		return fmt.Errorf("button %q", data)
	}
	err := m.call(ctx, "editMessageText", show(user, message, s.text, s.buttons, ""))
	if err != nil && ctx.Err() == nil && !isTimeout(err) {
		return nil // the screen is there already
	}
	return err
}

func isTimeout(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// order makes a purchase and its invoice; no connection is held across that call.
func (m *model) order(ctx context.Context, user, message int64) error {
	var id int64
	err := m.with(ctx, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `INSERT INTO pending_purchases (telegram_id) VALUES ($1) RETURNING id`, user).Scan(&id)
	})
	if err != nil {
		return err
	}
	var invoice struct {
		ID  int64  `json:"invoice_id"`
		URL string `json:"bot_invoice_url"`
	}
	if err := m.pay(ctx, invoiceTimeout, "createInvoice", map[string]any{"asset": "USDT", "amount": "3.15", "payload": fmt.Sprint("purchase:", id)}, &invoice); err != nil {
		return err
	}
	if err := m.exec(ctx, `UPDATE pending_purchases SET provider_invoice_id = $2 WHERE id = $1`, id, invoice.ID); err != nil {
		return err
	}
	return m.call(ctx, "editMessageText", show(user, message, "Press the button and pay", [][2]string{{"Pay", ""}}, invoice.URL))
}

// show are the parameters of a screen; a button without data leads to the address.
func show(user, message int64, text string, buttons [][2]string, address string) url.Values {
	type button struct {
		Text string `json:"text"`
		Data string `json:"callback_data,omitempty"`
		URL  string `json:"url,omitempty"`
	}
	row := []button{}
	for _, b := range buttons {
		one := button{Text: b[0], Data: b[1]}
		if b[1] == "" {
			one.URL = address
		}
		row = append(row, one)
	}
	keyboard, _ := json.Marshal(map[string]any{"inline_keyboard": [][]button{row}}) // strings always encode
	v := url.Values{"chat_id": {strconv.FormatInt(user, 10)}, "text": {text}}
	if len(row) > 0 {
		v.Set("reply_markup", string(keyboard))
	}
	if message != 0 {
		v.Set("message_id", strconv.FormatInt(message, 10))
	}
	return v
}

// paid is the callback of Crypto Pay. It answers 200 whatever comes of it; the watcher
// finds what was missed.
func (m *model) paid(_ http.ResponseWriter, r *http.Request) {
	var told struct {
		Payload struct {
			ID int64 `json:"invoice_id"`
		}
	}
	if json.NewDecoder(r.Body).Decode(&told) != nil {
		return
	}
	_ = m.finalize(m.life, told.Payload.ID) //nolint:contextcheck // it goes on when Crypto Pay has hung up
}

var errNotPending = errors.New("not pending")

// finalize follows finalize_purchase: the first phase adds the user to the VPN server
// before the transaction, with the connection in hand (architecture audit, section 4).
func (m *model) finalize(ctx context.Context, invoice int64) error {
	var user int64
	key := uuid.New()
	err := m.with(ctx, func(conn *pgxpool.Conn) error {
		var status string
		row := conn.QueryRow(ctx, `SELECT telegram_id, status FROM pending_purchases WHERE provider_invoice_id = $1`, invoice)
		if err := row.Scan(&user, &status); err != nil {
			return fmt.Errorf("purchase: %w", err)
		}
		if status != "pending" {
			return errNotPending
		}
		if err := m.addUser(ctx, user, key); err != nil {
			return err // without a key that is there, access is not granted
		}
		return m.grant(ctx, conn, user, invoice, key)
	})
	if err != nil {
		return err
	}
	return m.call(ctx, "sendMessage", show(user, 0, "Your key: vless://"+key.String(), nil, ""))
}

// grant is the transaction of a purchase.
func (m *model) grant(ctx context.Context, conn *pgxpool.Conn, user, invoice int64, key uuid.UUID) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err //nolint:wrapcheck // of our own statement
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	tag, err := tx.Exec(ctx, `UPDATE pending_purchases SET status = 'paid' WHERE provider_invoice_id = $1 AND status = 'pending'`, invoice)
	if err != nil {
		return err //nolint:wrapcheck // of our own statement
	}
	if tag.RowsAffected() == 0 {
		return errNotPending
	}
	_, err = tx.Exec(ctx, `INSERT INTO subscriptions (telegram_id, uuid, status, expires_at) VALUES ($1, $2, 'active', now() + interval '30 days')
		ON CONFLICT (telegram_id) DO UPDATE SET uuid = $2, status = 'active', expires_at = now() + interval '30 days'`, user, key)
	if err != nil {
		return err //nolint:wrapcheck // of our own statement
	}
	return tx.Commit(ctx) //nolint:wrapcheck // of our own statement
}
