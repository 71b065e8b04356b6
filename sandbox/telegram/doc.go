// Package telegram emulates the Telegram Bot API and the people who chat with a bot.
//
// A Server is an http.Handler that answers /bot<token>/<method> as the real server does: the same parameters, error
// texts, flood limits, webhook deliveries and long polls. The people are driven through Go methods (SendText, Press,
// PayStars, SetBlocked), and what they would see is a Chat snapshot.
//
// The emulator is stricter than the real server: a parameter, field or HTML entity that the Bot API does not know is
// refused with a text that begins with "sandbox:" and is kept in Violations, because the real server would ignore it
// and the mistake would stay unseen; Config.Lenient lets such names pass and still records them. A documented method that is not emulated answers 501. The emulator is laxer in one
// way: on a loopback host a webhook or Mini App address may use plain HTTP and any port.
//
// It owns no screens, no storage and no knowledge of the product; it must not import any other package of the module.
package telegram
