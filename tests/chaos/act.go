package main

import (
	"math/rand/v2"
	"time"
)

// deed is what somebody does.
type deed string

// The deeds.
const (
	look      deed = "times somebody looks around"
	greet     deed = "newcomers"
	buy       deed = "purchases by crypto"
	buyStars  deed = "purchases in Stars"
	renew     deed = "purchases by a regular"
	taste     deed = "purchases of a short period"
	fickle    deed = "two orders of one customer, both paid"
	leave     deed = "purchases by people who block the bot and return"
	duplicate deed = "callbacks told again, late"
	forge     deed = "forgeries"
)

// share is how often a deed is drawn.
type share struct {
	deed  deed
	parts int
}

func deeds() []share {
	return []share{{look, 30}, {greet, 8}, {buy, 16}, {buyStars, 10}, {renew, 8}, {taste, 5}, {fickle, 4}, {leave, 5}, {duplicate, 9}, {forge, 10}}
}

const (
	// regulars are customers who come back; everybody else who buys is new.
	regulars     = 24
	firstRegular = 1_000
	firstNew     = 10_000
)

// act is one deed at a moment.
type act struct {
	at     time.Duration
	deed   deed
	person int64
	choice uint64 // for whatever else is to be chosen
}

func drawActs(random *rand.Rand, length time.Duration) (acts []act) {
	whole := 0
	for _, s := range deeds() {
		whole += s.parts
	}
	for n := range int64(length.Seconds() * actsPerSecond) {
		a := act{
			at:     time.Duration(n)*time.Second/actsPerSecond + between(random, 0, time.Second/actsPerSecond),
			person: firstNew + n, choice: random.Uint64(),
		}
		part := random.IntN(whole)
		for _, s := range deeds() {
			if part -= s.parts; part < 0 {
				a.deed = s.deed
				break
			}
		}
		if a.deed == look || a.deed == renew {
			a.person = firstRegular + random.Int64N(regulars)
		}
		acts = append(acts, a)
	}
	return acts
}
