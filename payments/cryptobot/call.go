package cryptobot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sallyport/shop"
)

const (
	// maxAnswer bounds what is read of one answer.
	maxAnswer = 4 << 20
	// userAgent names us, because the service's front turns away nameless clients.
	userAgent = "sallyport/1"
	// maxName bounds how much of an error's name is quoted.
	maxName = 64
)

// APIError is the service's refusal of a call: our parameters, our token or
// the app's settings are wrong, and the same call would be refused again.
type APIError struct {
	Code int
	Name string
}

// Error returns the code and the name that the service gave.
func (e *APIError) Error() string { return fmt.Sprintf("refused: %d %s", e.Code, e.Name) }

// internal says that err is for an operator, and that to repeat the call is no use.
func internal(err error) error {
	return &shop.Error{Kind: shop.KindInternal, Key: "internal", Err: err}
}

// call makes one call and decodes its result.
func (c *Client) call(ctx context.Context, method string, params, result any) error {
	body, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("crypto pay %s: %w", method, err)
	}
	if err := c.pace.free(); err != nil { // before the host learns of anything: nobody is called
		return fmt.Errorf("crypto pay %s: %w", method, err)
	}
	err = c.cfg.Host.Do(ctx, method, func(ctx context.Context) error {
		err := c.hide(c.exchange(ctx, method, body, result))
		c.pace.heed(err)
		return err
	})
	if err != nil {
		return fmt.Errorf("crypto pay %s: %w", method, err)
	}
	return nil
}

// hide keeps the token out of an error, should the other side have quoted it.
func (c *Client) hide(err error) error {
	if err == nil || c.cfg.Token == "" || !strings.Contains(err.Error(), c.cfg.Token) {
		return err
	}
	clean := errors.New(strings.ReplaceAll(err.Error(), c.cfg.Token, "<token>"))
	if known, ok := errors.AsType[*shop.Error](err); ok {
		return &shop.Error{Kind: known.Kind, Key: known.Key, RetryAfter: known.RetryAfter, Err: clean}
	}
	return clean
}

// exchange sends one request. An error that it does not classify is one of the
// network, which the host makes KindUnavailable.
func (c *Client) exchange(ctx context.Context, method string, body []byte, result any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.BaseURL+"/"+method, bytes.NewReader(body))
	if err != nil {
		return internal(errors.New("the address of the service is no address"))
	}
	request.Header.Set("Crypto-Pay-API-Token", c.cfg.Token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", userAgent)
	response, err := c.http.Do(request)
	if err != nil {
		return bare(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return bare(err)
	}
	if len(answer) > maxAnswer {
		return shop.Unavailable(fmt.Errorf("status %d with an answer of over %d bytes", response.StatusCode, maxAnswer))
	}
	return read(response, answer, result)
}

// bare takes the address off a transport error: the cause is enough.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// envelope is the shape of every answer of the service itself.
type envelope struct {
	OK     *bool           `json:"ok"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

// read takes an answer apart. What is not an envelope does not come from the
// service but from something in front of it, whatever its status. Either may say that
// we call too often.
func read(response *http.Response, answer []byte, result any) error {
	var e envelope
	if response.StatusCode == http.StatusTooManyRequests {
		_ = json.Unmarshal(answer, &e) // what is wrong is the status
		return tooOften(response, refused(response, e.Error))
	}
	if err := json.Unmarshal(answer, &e); err != nil || e.OK == nil {
		return shop.Unavailable(fmt.Errorf("status %d without an answer of the service", response.StatusCode))
	}
	if !*e.OK {
		return refusal(response, e.Error)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return shop.Unavailable(fmt.Errorf("status %d with ok=true", response.StatusCode))
	}
	if err := json.Unmarshal(e.Result, result); err != nil {
		return internal(fmt.Errorf("decode result: %w", err))
	}
	return nil
}

// refusal classifies an answer with ok=false.
func refusal(response *http.Response, raw json.RawMessage) error {
	err := refused(response, raw)
	switch {
	case err.Code == http.StatusTooManyRequests:
		return tooOften(response, err)
	case max(response.StatusCode, err.Code) >= http.StatusInternalServerError:
		return shop.Unavailable(err)
	default:
		return internal(err)
	}
}

// refused reads what the service says is wrong.
func refused(response *http.Response, raw json.RawMessage) *APIError {
	var detail struct {
		Code text `json:"code"`
		Name text `json:"name"`
	}
	if err := json.Unmarshal(raw, &detail); err != nil {
		_ = json.Unmarshal(raw, &detail.Name) // Some answers have a bare string; anything else stays empty.
	}
	known := &APIError{Code: response.StatusCode, Name: string(detail.Name)[:min(len(detail.Name), maxName)]}
	if code, err := strconv.Atoi(string(detail.Code)); err == nil {
		known.Code = code
	}
	return known
}
