package api

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/tidwall/gjson"

	"sallyport/shop"
)

// readUpdate reads who an update is from and what kind it is, in one light pass; the
// rest is decoded when it is handled. What it does not know is of kind "other": kept
// and passed on, never refused.
func readUpdate(body []byte) (shop.Update, error) {
	if !json.Valid(body) { // it bounds the depth, too
		return shop.Update{}, fmt.Errorf("update is not JSON: %w", shop.ErrUndecodable)
	}
	u := shop.Update{Kind: "other", Body: body}
	understood := true
	gjson.ParseBytes(body).ForEach(func(key, value gjson.Result) bool {
		switch name := key.String(); name {
		case "update_id":
			u.ID, understood = integer(value)
		case "message", "callback_query", "pre_checkout_query", "my_chat_member":
			if value.Type != gjson.Null {
				u.Kind = name
				if name == "message" && aboutMoney(value) {
					u.Kind = shop.KindPayment
				}
				u.Lane, understood = laneOf(value)
			}
		}
		return understood
	})
	switch {
	case !understood:
		return shop.Update{}, fmt.Errorf("update is not the expected JSON: %w", shop.ErrUndecodable)
	case u.ID <= 0:
		return shop.Update{}, fmt.Errorf("update has no id: %w", shop.ErrUndecodable)
	default:
		return u, nil
	}
}

// aboutMoney says whether a message tells of a payment, made or given back.
func aboutMoney(message gjson.Result) bool {
	return message.Get("successful_payment").Exists() || message.Get("refunded_payment").Exists()
}

// laneOf returns the user whom the content comes from, else its chat, else 0.
func laneOf(content gjson.Result) (lane int64, understood bool) {
	for _, whom := range []string{"from", "chat"} {
		if person := content.Get(whom); person.Type != gjson.Null {
			return integer(person.Get("id"))
		}
	}
	return 0, content.IsObject()
}

func integer(value gjson.Result) (n int64, understood bool) {
	n, err := strconv.ParseInt(value.Raw, 10, 64)
	return n, err == nil && value.Type == gjson.Number
}
