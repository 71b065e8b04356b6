package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Get gets a page.
func Get(ctx context.Context, client *http.Client, address string) (body []byte, status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, 0, fmt.Errorf("get %s: %w", address, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, 0, fmt.Errorf("get %s: %w", address, err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		return nil, 0, fmt.Errorf("get %s: %w", address, err)
	}
	return body, response.StatusCode, nil
}

// Every does something at a pace until ctx ends.
func Every(ctx context.Context, pace time.Duration, do func()) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		do()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
