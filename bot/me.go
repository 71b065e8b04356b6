package bot

import (
	"context"
	"errors"
	"net/http"
)

// Me is what Telegram says of the bot.
type Me struct {
	ID       int64  `json:"id"`
	Username string `json:"username"`
}

// Me asks Telegram who we are: it answers only if the token is good.
func (c *Client) Me(ctx context.Context) (me Me, err error) {
	err = c.Call(ctx, "getMe", nil, &me)
	return me, err
}

// WrongToken says that err is Telegram's word that the token is none of its own: 401,
// or 404 for one that does not even look like a token.
func WrongToken(err error) bool {
	r, ok := errors.AsType[*Refusal](err)
	return ok && (r.Code == http.StatusUnauthorized || r.Code == http.StatusNotFound)
}
