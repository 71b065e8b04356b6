package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

const (
	webhookPath = "/telegram/webhook"
	secret      = "a-secret-that-only-the-bench-knows"
	// people is how many customers press; their ids begin at firstPerson.
	people      = 5000
	firstPerson = 2_000_000_001
	firstUpdate = 1_000_000_001
)

// pressBody is a pressed button as Telegram sends it. Ten U stand for the number of the
// update and ten P for the person, so that the length never changes.
const pressBody = `{"update_id":UUUUUUUUUU,"callback_query":{"id":"UUUUUUUUUU",` +
	`"from":{"id":PPPPPPPPPP,"is_bot":false,"first_name":"Anna","last_name":"Example","username":"annaexample","language_code":"en"},` +
	`"message":{"message_id":77,"from":{"id":7000000001,"is_bot":true,"first_name":"Shop","username":"shop_bot"},` +
	`"chat":{"id":PPPPPPPPPP,"first_name":"Anna","last_name":"Example","username":"annaexample","type":"private"},` +
	`"date":1790000000,"text":"Hello, Anna! Here you can buy access to the VPN.",` +
	`"reply_markup":{"inline_keyboard":[[{"text":"Buy access","callback_data":"plans"}],[{"text":"My access","callback_data":"profile"}]]}},` +
	`"chat_instance":"-4242424242424242424","data":"plans"}}`

// post writes a request as raw HTTP/1.1.
func post(path, header, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%s\r\nContent-Length: %d\r\n\r\n%s",
		path, header, len(body), body)
}

// presses is a source of button presses by all people in turn.
func presses() func(int64) []byte {
	raw := post(webhookPath, "X-Telegram-Bot-Api-Secret-Token: "+secret, pressBody)
	numbers, persons := slots(raw, "U"), slots(raw, "P")
	return func(n int64) []byte {
		fill(raw, numbers, firstUpdate+n)
		fill(raw, persons, firstPerson+n%people)
		return raw
	}
}

// slots finds the places of ten such letters.
func slots(raw []byte, letter string) (found []int) {
	mark := []byte(strings.Repeat(letter, 10))
	for at := bytes.Index(raw, mark); at >= 0; at = bytes.Index(raw, mark) {
		found = append(found, at)
		copy(raw[at:], "0000000000")
	}
	return found
}

// fill writes a number of ten digits into the places.
func fill(raw []byte, places []int, number int64) {
	for _, at := range places {
		strconv.AppendInt(raw[at:at], number, 10)
	}
}
