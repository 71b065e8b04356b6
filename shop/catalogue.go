package shop

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// PlanID names a plan in the catalogue: lower-case letters and digits, at most 16.
type PlanID string

// PeriodID names a period within its plan: its length as the catalogue writes it,
// such as "30d" or "45s".
type PeriodID string

// Catalogue is what the shop sells.
type Catalogue struct {
	Plans   []Plan
	Support string // the contact that customers are given, such as "@name"
	Limits  Limits
	Version string // tells this catalogue from another
}

// Limits are what one customer may do; zero means no limit.
type Limits struct {
	Prepaid time.Duration // how far ahead access may be bought
	Orders  int           // how many orders may be placed in an hour
}

// Plan is a product: the same access, sold for several periods.
type Plan struct {
	ID          PlanID
	Name        map[Language]string
	Description map[Language]string
	Periods     []Period
}

// Period is how long a customer buys a plan for, and what that costs.
type Period struct {
	ID     PeriodID
	Length time.Duration
	Price  Money // in roubles
	Stars  Money // zero if it is not sold for Stars
}

// Offer is one plan for one period at its price today.
type Offer struct {
	Plan   Plan
	Period Period
}

// Plan returns the plan with this id, or ErrNoOffer.
func (c Catalogue) Plan(id PlanID) (Plan, error) {
	for _, p := range c.Plans {
		if p.ID == id {
			return p, nil
		}
	}
	return Plan{}, fmt.Errorf("plan %q: %w", id, ErrNoOffer)
}

// Offer returns the plan for the period, or ErrNoOffer if it is not sold.
func (c Catalogue) Offer(plan PlanID, period PeriodID) (Offer, error) {
	p, err := c.Plan(plan)
	if err != nil {
		return Offer{}, err
	}
	for _, candidate := range p.Periods {
		if candidate.ID == period {
			return Offer{Plan: p, Period: candidate}, nil
		}
	}
	return Offer{}, fmt.Errorf("plan %q for %q: %w", plan, period, ErrNoOffer)
}

// Quote is what an offer costs.
type Quote struct {
	Base  Money  // by the catalogue
	Rule  string // the one that lowered it, empty if none did
	Total Money  // what is asked for
}

// Price is the one place where a price comes from: screens, orders and renewals all ask
// it. It returns what the offer costs by way of a provider, or ErrNoOffer if it is not
// sold so.
func (o Offer) Price(by Descriptor) (Quote, error) {
	for _, price := range []Money{o.Period.Price, o.Period.Stars} {
		if price.Currency == by.Currency && price.Minor > 0 {
			return Quote{Base: price, Total: price}, nil
		}
	}
	return Quote{}, fmt.Errorf("plan %q for %q by %q: %w", o.Plan.ID, o.Period.ID, by.Provider, ErrNoOffer)
}

const day = 24 * time.Hour

// ParsePeriod reads the length of a period: "30d" for days, or a Go duration of
// whole seconds such as "45s". It must be positive and at most 3660 days.
func ParsePeriod(id PeriodID) (time.Duration, error) {
	length, err := time.ParseDuration(string(id))
	if count, inDays := strings.CutSuffix(string(id), "d"); inDays {
		var n int
		n, err = strconv.Atoi(count)
		length = time.Duration(min(max(n, 0), 3661)) * day
	}
	if err != nil || length <= 0 || length > 3660*day || length%time.Second != 0 {
		return 0, fmt.Errorf("period %q: want days such as 30d, or a duration such as 45s", id)
	}
	return length, nil
}
