package telegram

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Errors of paying, as the person sees them.
var (
	ErrNoInvoice   = errors.New("telegram sandbox: nothing to pay there")
	ErrAlreadyPaid = errors.New("telegram sandbox: the invoice is paid already")
	ErrPayTimeout  = errors.New("telegram sandbox: the bot did not answer the pre-checkout query in time")
)

// RefusedError is a payment that the bot refused; Reason is the text that the person sees.
type RefusedError struct {
	Reason string
}

// Error holds the bot's reason.
func (e *RefusedError) Error() string { return "telegram sandbox: payment refused: " + e.Reason }

// checkout is a person who waits for the answer to a pre-checkout query.
type checkout struct {
	id      string
	chat    *chat
	message *message // nil when an invoice link is paid
	invoice *invoice
	created time.Time
	verdict chan verdict // has room for the only answer
}

type verdict struct {
	ok     bool
	reason string
}

// charge is one finished payment.
type charge struct {
	id       string
	user     User
	invoice  *invoice
	at       time.Time
	refundAt time.Time
}

// PayStars lets a person press Pay under a Stars invoice. It returns when the bot has answered the pre-checkout query
// and, on approval, the successful_payment message is queued. A refusal is a *RefusedError, silence ErrPayTimeout.
func (s *Server) PayStars(userID int64, messageID int) error {
	return s.pay(func() (*checkout, error) {
		ch, m, err := s.payable(userID, messageID)
		if err != nil {
			return nil, err
		}
		return &checkout{chat: ch, message: m, invoice: m.invoice}, nil
	})
}

// PayLink lets a person pay an invoice link; one link can be paid any number of times and by anyone.
func (s *Server) PayLink(userID int64, link string) error {
	return s.pay(func() (*checkout, error) {
		ch, known := s.chats[userID]
		i, ok := s.invoices[link]
		if !known || !ok {
			return nil, ErrNoInvoice
		}
		return &checkout{chat: ch, invoice: i}, nil
	})
}

// pay asks the bot, waits for its answer without the lock, and concludes.
func (s *Server) pay(find func() (*checkout, error)) error {
	query, err := s.ask(find)
	if err != nil {
		return err
	}
	return s.conclude(query, s.await(query))
}

// ask queues the pre-checkout query.
func (s *Server) ask(find func() (*checkout, error)) (*checkout, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	query, err := find()
	if err != nil {
		return nil, err
	}
	query.id, query.created, query.verdict = randomID(), s.cfg.Now(), make(chan verdict, 1)
	s.checkouts[query.id] = query
	s.asked = append(s.asked, s.updates.next)
	user, i := query.chat.user, query.invoice
	return query, s.queueUpdate("pre_checkout_query", user.ID, query.created.Add(queryLife), wireCheckout{
		ID: query.id, From: user.wire(), Currency: i.currency, TotalAmount: i.amount, InvoicePayload: i.payload,
	})
}

// conclude forgets the query and, when the bot agreed, takes the Stars.
func (s *Server) conclude(query *checkout, refusal error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.checkouts, query.id)
	if refusal != nil {
		return refusal
	}
	if m := query.message; m != nil {
		if m.settled {
			return ErrAlreadyPaid
		}
		m.settled = true
	}
	return s.charge(query.chat, query.invoice)
}

func (s *Server) payable(userID int64, messageID int) (*chat, *message, error) {
	ch, m, err := s.seen(userID, messageID)
	switch {
	case err != nil:
		return nil, nil, err
	case m.invoice == nil:
		return nil, nil, fmt.Errorf("message %d: %w", messageID, ErrNoInvoice)
	case m.settled:
		return nil, nil, ErrAlreadyPaid
	}
	return ch, m, nil
}

func (s *Server) await(query *checkout) error {
	timer := time.NewTimer(s.cfg.PayTimeout)
	defer timer.Stop()
	select {
	case v := <-query.verdict:
		if !v.ok {
			return &RefusedError{Reason: v.reason}
		}
		return nil
	case <-timer.C:
		return ErrPayTimeout
	case <-s.ctx.Done():
		return ErrClosed
	}
}

func (s *Server) answerPreCheckoutQuery(c *call) (any, error) {
	id := c.text("pre_checkout_query_id")
	query, ok := s.checkouts[id]
	if !ok || s.cfg.Now().Sub(query.created) > s.cfg.PayTimeout {
		return nil, errQueryTooOld()
	}
	v := verdict{ok: c.flag("ok"), reason: c.text("error_message")}
	if !v.ok && v.reason == "" {
		return nil, badRequest("parameter \"error_message\" is required")
	}
	select {
	case query.verdict <- v:
		return true, nil
	default:
		return nil, errQueryTooOld()
	}
}

// charge takes the person's Stars and tells the bot with a successful_payment message.
func (s *Server) charge(ch *chat, i *invoice) error {
	done := &charge{id: "stx" + randomName(24), user: ch.user, invoice: i, at: s.cfg.Now()}
	s.charges = append(s.charges, done)
	s.balance += i.amount
	paid := done.wire()
	if i.period > 0 {
		paid.IsRecurring, paid.IsFirstRecurring = true, true
		paid.Expires = done.at.Add(time.Duration(i.period) * time.Second).Unix()
	}
	m := &message{paid: paid}
	s.add(ch, m)
	if s.losing {
		return nil
	}
	return s.queueMessage(ch, m)
}

// CheckoutUpdates returns the ids of the updates by which the bot was asked whether a payment may go ahead.
func (s *Server) CheckoutUpdates() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// LosePayments has the bot not be told of payments from now on, as if their updates had been lost; the person sees
// them all the same, and getStarTransactions lists them.
func (s *Server) LosePayments(lose bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losing = lose
}

func (d *charge) wire() *wirePayment {
	return &wirePayment{
		Currency: d.invoice.currency, TotalAmount: d.invoice.amount, InvoicePayload: d.invoice.payload,
		ChargeID: d.id, ProviderChargeID: "",
	}
}

func (s *Server) refundStarPayment(c *call) (any, error) {
	for _, d := range s.charges {
		if d.id == c.text("telegram_payment_charge_id") && d.user.ID == c.integer("user_id") {
			return s.refund(d)
		}
	}
	return nil, badRequest("CHARGE_NOT_FOUND")
}

func (s *Server) refund(d *charge) (any, error) {
	if !d.refundAt.IsZero() {
		return nil, badRequest("CHARGE_ALREADY_REFUNDED")
	}
	d.refundAt = s.cfg.Now()
	s.balance -= d.invoice.amount
	ch := s.chats[d.user.ID]
	m := &message{refunded: d.wire()}
	s.add(ch, m)
	return true, s.queueMessage(ch, m)
}

// transaction is a StarTransaction.
type transaction struct {
	ID       string   `json:"id"`
	Amount   int64    `json:"amount"`
	Date     int64    `json:"date"`
	Source   *partner `json:"source,omitempty"`
	Receiver *partner `json:"receiver,omitempty"`
}

type partner struct {
	Type            string   `json:"type"`
	TransactionType string   `json:"transaction_type"`
	User            wireUser `json:"user"`
	InvoicePayload  string   `json:"invoice_payload"`
	Period          int64    `json:"subscription_period,omitempty"`
}

func (d *charge) transactions() []transaction {
	p := &partner{
		Type: "user", TransactionType: "invoice_payment", User: d.user.wire(),
		InvoicePayload: d.invoice.payload, Period: d.invoice.period,
	}
	list := []transaction{{ID: d.id, Amount: d.invoice.amount, Date: d.at.Unix(), Source: p}}
	if !d.refundAt.IsZero() {
		list = append(list, transaction{ID: d.id, Amount: d.invoice.amount, Date: d.refundAt.Unix(), Receiver: p})
	}
	return list
}
