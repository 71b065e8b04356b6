package load

import (
	"context"
	"fmt"

	"sallyport/sandbox"
	"sallyport/sandbox/telegram"
)

// Person is someone of that id who speaks English.
func Person(w *sandbox.World, id int64) *sandbox.Person {
	return w.Person(telegram.User{ID: id, FirstName: fmt.Sprint("Person", id), LanguageCode: "en"})
}

// Greet walks a person to the menu.
func Greet(ctx context.Context, p *sandbox.Person) error {
	if err := p.Write("/start"); err != nil {
		return err
	}
	if _, err := p.See(ctx, "Choose your language"); err != nil {
		return err
	}
	return Step(ctx, p, "English", "Fast and private")
}

// Choose walks a new person to the choice of how to pay.
func Choose(ctx context.Context, p *sandbox.Person) error {
	if err := Greet(ctx, p); err != nil {
		return err
	}
	for _, s := range [][2]string{{"Buy access", "Choose a plan"}, {"Plus", "For how long?"}, {"30 days", "How would you like to pay?"}} {
		if err := Step(ctx, p, s[0], s[1]); err != nil {
			return err
		}
	}
	return nil
}

// Step has a person press a button and wait for what it leads to.
func Step(ctx context.Context, p *sandbox.Person, label, want string) error {
	if _, err := p.Press(label); err != nil {
		return err
	}
	_, err := p.See(ctx, want)
	return err
}
