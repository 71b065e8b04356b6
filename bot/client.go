package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
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
		var head answerHead
		api.Client = bound{ctx: ctx, client: c.http, head: &head}
		answer, err := call(&api)
		if head.status != 0 && !isAnswer(answer, err) {
			return translateJunk(method, head)
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
	head   *answerHead // of the answer, once there is one
}

// answerHead is what stands before an answer's body.
type answerHead struct {
	status int
	wait   time.Duration // that it asks for
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
	seconds, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16) // a date comes from no server of a bot
	*b.head = answerHead{status: resp.StatusCode, wait: time.Duration(seconds) * time.Second}
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
	MovedTo     int64 // the number of the supergroup that the group has become; else 0
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
		return shop.Unavailable(fmt.Errorf("%s: %w", method, err)) // no answer
	}
	r := &Refusal{Method: method, Code: answer.ErrorCode, Description: known.Message, MovedTo: known.MigrateToChatID}
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

// isAnswer says whether what the library made of an answer is the Bot API's: that has
// a result, or the code of an error. JSON alone is no sign of it: proxies speak it too.
func isAnswer(answer *tgbotapi.APIResponse, err error) bool {
	if _, refused := errors.AsType[*tgbotapi.Error](err); refused {
		return answer != nil && answer.ErrorCode != 0
	}
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, shape := errors.AsType[*json.UnmarshalTypeError](err)
	return !syntax && !shape && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// translateJunk judges an answer that is not the Bot API's by its status: a method that
// is not there will not be there the next time either, and what is too large will not be
// smaller; all else is a proxy's trouble.
func translateJunk(method string, head answerHead) error {
	r := &Refusal{Method: method, Code: head.status, Description: http.StatusText(head.status) + ", and not by the Bot API"}
	switch head.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusRequestEntityTooLarge:
		return refused(r)
	case http.StatusTooManyRequests:
		return shop.Limited(head.wait, r)
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
