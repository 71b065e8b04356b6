package api

import (
	"encoding/json"
	"fmt"

	"sallyport/shop"
)

// person is as much of a user or a chat as tells its lane.
type person struct {
	ID int64 `json:"id"`
}

// author is as much of an update's content as tells its lane.
type author struct {
	From *person `json:"from"`
	Chat *person `json:"chat"`
}

// lane is the user whom the content comes from, else its chat, else 0.
func (a author) lane() int64 {
	switch {
	case a.From != nil:
		return a.From.ID
	case a.Chat != nil:
		return a.Chat.ID
	default:
		return 0
	}
}

// envelope is as much of an update as the receiver must know.
type envelope struct {
	UpdateID         *int64  `json:"update_id"`
	Message          *author `json:"message"`
	CallbackQuery    *author `json:"callback_query"`
	PreCheckoutQuery *author `json:"pre_checkout_query"`
	MyChatMember     *author `json:"my_chat_member"`
}

// readUpdate reads who an update is from and what kind it is. What it does not
// know is of kind "other": kept and passed on, never refused.
func readUpdate(body []byte) (shop.Update, error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return shop.Update{}, fmt.Errorf("update is not the expected JSON: %w", shop.ErrUndecodable)
	}
	if e.UpdateID == nil || *e.UpdateID <= 0 {
		return shop.Update{}, fmt.Errorf("update has no id: %w", shop.ErrUndecodable)
	}
	u := shop.Update{ID: *e.UpdateID, Kind: "other", Body: body}
	for kind, content := range map[string]*author{
		"message": e.Message, "callback_query": e.CallbackQuery,
		"pre_checkout_query": e.PreCheckoutQuery, "my_chat_member": e.MyChatMember,
	} {
		if content != nil {
			u.Kind, u.Lane = kind, content.lane()
		}
	}
	return u, nil
}
