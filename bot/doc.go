// Package bot is the shop's front in Telegram: the Bot API client and the one
// sender, the lanes in which updates are handled, the dialogs, the screens and
// their texts.
//
// It decides nothing about money, time or access: it decodes, calls one use case
// of the shop, and shows a screen.
package bot
