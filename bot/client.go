package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	tgbotapi "github.com/go-telegram-bot-api/telegram-bot-api/v5"

	"sallyport/outbound"
	"sallyport/shop"
)

// Client calls the Bot API. It adds to the library what that lacks: a context, a
// time limit and a breaker for every call, bounded answers, the shop's errors,
// and error texts without the bot's token.
type Client struct {
	api  tgbotapi.BotAPI
	http *http.Client
	host *outbound.Host
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

// NewClient returns a client of the Bot API at baseURL, such as
// "https://api.telegram.org". It makes no call.
func NewClient(token, baseURL string, host *outbound.Host) *Client {
	c := &Client{
		api:  tgbotapi.BotAPI{Token: token},
		http: host.HTTP(),
		host: host,
	}
	c.api.SetAPIEndpoint(strings.TrimSuffix(baseURL, "/") + "/bot%s/%s")
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call calls a method and decodes its result into result unless that is nil.
func (c *Client) Call(ctx context.Context, method string, params tgbotapi.Params, result any) error {
	return c.do(ctx, method, result, func(api *tgbotapi.BotAPI) (*tgbotapi.APIResponse, error) {
		return api.MakeRequest(method, params)
	})
}

// Upload is Call with files.
func (c *Client) Upload(ctx context.Context, method string, params tgbotapi.Params, files []tgbotapi.RequestFile, result any) error {
	return c.do(ctx, method, result, func(api *tgbotapi.BotAPI) (*tgbotapi.APIResponse, error) {
		return api.UploadFiles(method, params, files)
	})
}

// Check returns nil if the Bot API answers and knows the token.
func (c *Client) Check(ctx context.Context) error { return c.Call(ctx, "getMe", nil, nil) }

func (c *Client) do(ctx context.Context, method string, result any, call func(*tgbotapi.BotAPI) (*tgbotapi.APIResponse, error)) error {
	return c.host.Do(ctx, method, func(ctx context.Context) error {
		api := c.api // the library takes no context: each call has a copy bound to its own
		var status int
		api.Client = bound{ctx: ctx, client: c.http, status: &status}
		answer, err := call(&api)
		if _, junk := errors.AsType[*json.SyntaxError](err); junk || errors.Is(err, io.EOF) && status != 0 {
			return translateJunk(method, status)
		}
		if err != nil {
			return translate(method, answer, err)
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(answer.Result, result); err != nil {
			return fmt.Errorf("%s: unexpected result: %w", method, err)
		}
		return nil
	})
}

// bound sends a request under a context, and strips the address, which holds the
// token, off the transport's errors.
type bound struct {
	ctx    context.Context
	client *http.Client
	status *int // of the answer
}

// Do implements the library's HTTPClient.
func (b bound) Do(r *http.Request) (*http.Response, error) {
	resp, err := b.client.Do(r.WithContext(b.ctx))
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return nil, err
	}
	*b.status = resp.StatusCode
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

// Refusal is an answer by which Telegram refuses a call for good.
type Refusal struct {
	Method      string
	Code        int
	Description string
}

// Error names the method and what Telegram said.
func (r *Refusal) Error() string { return fmt.Sprintf("%s: %d %s", r.Method, r.Code, r.Description) }

// refused says that the host is well and the call is at fault.
func refused(r *Refusal) error {
	return &shop.Error{Kind: shop.KindInternal, Key: "telegram_refused", Err: r}
}

// translate turns what the library returns into the shop's errors. The library
// leaves the code of a refused upload out of its error, so the answer is read.
func translate(method string, answer *tgbotapi.APIResponse, err error) error {
	known, isRefusal := errors.AsType[*tgbotapi.Error](err)
	if !isRefusal {
		return shop.Unavailable(fmt.Errorf("%s: %w", method, err)) // no answer, or one that is not the API's
	}
	r := &Refusal{Method: method, Code: known.Code, Description: known.Message}
	if answer != nil && answer.ErrorCode != 0 {
		r.Code = answer.ErrorCode
	}
	switch says := strings.ToLower(r.Description); {
	case r.Code == http.StatusTooManyRequests:
		return shop.Limited(time.Duration(known.RetryAfter)*time.Second, r)
	case r.Code >= http.StatusInternalServerError && r.Code != http.StatusNotImplemented:
		return shop.Unavailable(r)
	case r.Code == http.StatusForbidden, strings.Contains(says, "chat not found"):
		return shop.Forbidden(r)
	case strings.Contains(says, "message is not modified"):
		return nil
	default:
		return refused(r)
	}
}

// translateJunk judges an answer that is not JSON by its status: a method that is
// not there will not be there the next time either; all else is a proxy's trouble.
func translateJunk(method string, status int) error {
	r := &Refusal{Method: method, Code: status, Description: http.StatusText(status) + ", and not by the Bot API"}
	switch status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return refused(r)
	default:
		return shop.Unavailable(r)
	}
}

// isRefusal says whether Telegram refused the call for good: repeating it is
// useless, another call may help.
func isRefusal(err error) bool {
	r, ok := errors.AsType[*Refusal](err)
	return ok && shop.KindOf(err) == shop.KindInternal && r.Code != http.StatusUnauthorized
}
