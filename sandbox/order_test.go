package sandbox

import (
	"testing"

	"sallyport/sandbox/telegram"
)

// TestAnOldScreenIsNoAnswer: who has asked for the plans presses in the screen that
// answers, not in one that was there before, nor in one that is gone.
func TestAnOldScreenIsNoAnswer(t *testing.T) {
	t.Parallel()
	screen := func(id int, text string) telegram.Message { return telegram.Message{ID: id, FromBot: true, Text: text} }
	gone := screen(7, "Choose a plan")
	gone.Deleted = true
	for _, c := range []struct {
		name     string
		messages []telegram.Message
		want     int
	}{
		{"an old screen", []telegram.Message{screen(3, "Choose a plan"), {ID: 5, Text: "/buy"}}, 0},
		{"the answer", []telegram.Message{screen(3, "Choose a plan"), {ID: 5, Text: "/buy"}, screen(6, "Choose a plan")}, 6},
		{"one that is gone", []telegram.Message{screen(3, "Choose a plan"), screen(6, "For how long?"), gone}, 6},
		{"a notice after it", []telegram.Message{screen(6, "How would you like to pay?"), screen(7, "Your access has ended")}, 6},
	} {
		if got := walked(telegram.Chat{Messages: c.messages}, 5); got.ID != c.want {
			t.Errorf("%s: the person looks at message %d, want %d", c.name, got.ID, c.want)
		}
	}
}

// TestTheOrderOfAnotherWishIsNotPaid: a screen that comes late may be another order's.
func TestTheOrderOfAnotherWishIsNotPaid(t *testing.T) {
	t.Parallel()
	page := telegram.Message{Text: "Basic, 30 days\nPress the button and pay", Keyboard: [][]telegram.Button{{{Text: "Pay", URL: "https://pay.example/1"}}}}
	for wish, want := range map[Wish]bool{
		{"Basic", "30 days", Crypto}: true, {"Plus", "30 days", Crypto}: false, {"Basic", "90 days", Crypto}: false, {"Basic", "30 days", Stars}: false,
	} {
		if _, found := wish.page(page); found != want {
			t.Errorf("%+v: paid is %t", wish, found)
		}
	}
}
