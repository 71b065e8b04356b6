package telegram

// subscriptionPeriod is the only period that a Stars subscription may have, in seconds.
const subscriptionPeriod = 2592000

// LinkPrefix is what every invoice link begins with.
const LinkPrefix = "https://t.me/$"

// Bounds of a Stars price.
const (
	maxStars             = 100000
	maxSubscriptionStars = 10000
)

// invoice is what one invoice message or invoice link asks to pay.
type invoice struct {
	title, description, payload string
	startParameter              string
	currency                    string
	amount                      int64
	period                      int64
}

func (i *invoice) wire() *wireInvoice {
	return &wireInvoice{
		Title: i.title, Description: i.description, StartParameter: i.startParameter,
		Currency: i.currency, TotalAmount: i.amount,
	}
}

func (i *invoice) snapshot(paid bool) *Invoice {
	return &Invoice{
		Title: i.title, Description: i.description, Payload: i.payload,
		Currency: i.currency, Amount: i.amount, Paid: paid,
	}
}

func (s *Server) sendInvoice(c *call) (any, error) {
	i, err := readInvoice(c)
	if err != nil {
		return nil, err
	}
	return s.send(c, &message{invoice: i})
}

func (s *Server) createInvoiceLink(c *call) (any, error) {
	if err := refuseOptions(c); err != nil {
		return nil, err
	}
	i, err := readInvoice(c)
	if err != nil {
		return nil, err
	}
	if c.has("subscription_period") {
		i.period = c.integer("subscription_period")
		switch {
		case i.period != subscriptionPeriod:
			return nil, badRequest("SUBSCRIPTION_PERIOD_INVALID")
		case i.amount > maxSubscriptionStars:
			return nil, badRequest("STARS_INVOICE_INVALID")
		}
	}
	link := LinkPrefix + randomName(7) + "-" + randomName(7) // a name of Telegram may hold any of base64url
	s.invoices[link] = i
	return link, nil
}

// readInvoice reads what sendInvoice and createInvoiceLink share. Only Stars are emulated.
func readInvoice(c *call) (*invoice, error) {
	i := &invoice{
		title: c.text("title"), description: c.text("description"), payload: c.text("payload"),
		startParameter: c.text("start_parameter"), currency: c.text("currency"),
	}
	if err := i.checkTexts(); err != nil {
		return nil, err
	}
	if i.currency != "XTR" || c.text("provider_token") != "" {
		return nil, badRequest("PAYMENT_PROVIDER_INVALID")
	}
	if c.integer("max_tip_amount") != 0 {
		return nil, badRequest("STARS_INVOICE_INVALID")
	}
	var prices []struct {
		Amount looseInt `json:"amount"`
	}
	if err := c.decode("prices", &prices); err != nil {
		return nil, err
	}
	if len(prices) != 1 {
		return nil, badRequest("STARS_INVOICE_INVALID")
	}
	i.amount = int64(prices[0].Amount)
	if i.amount < 1 || i.amount > maxStars {
		return nil, badRequest("CURRENCY_TOTAL_AMOUNT_INVALID")
	}
	return i, nil
}

// checkTexts holds the documented lengths. The real server's own texts for title and description are not documented.
func (i *invoice) checkTexts() error {
	switch {
	case i.title == "" || runeLen(i.title) > 32:
		return badRequest("sandbox: title must have 1 to 32 characters")
	case i.description == "" || runeLen(i.description) > 255:
		return badRequest("sandbox: description must have 1 to 255 characters")
	case i.payload == "" || len(i.payload) > 128:
		return badRequest("INVOICE_PAYLOAD_INVALID")
	case len(i.startParameter) > 64:
		return badRequest("START_PARAM_INVALID")
	}
	return nil
}
