package fault_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/sandbox/fault"
)

// site is an echoing handler behind a switch, over real HTTP.
type site struct {
	fault.Switch
	url     string
	client  *http.Client
	arrived atomic.Int64 // requests that reached the switch
	served  atomic.Int64 // requests that reached the handler
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	handler := s.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		_, _ = io.Copy(w, r.Body)
	}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.arrived.Add(1)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url, s.client = server.URL, server.Client()
	return s
}

// reply is what became of one request.
type reply struct {
	status     int
	body, kind string
	err        error
}

func (s *site) post(ctx context.Context) reply {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader("hello"))
	if err != nil {
		return reply{err: err}
	}
	response, err := s.client.Do(request)
	if err != nil {
		return reply{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return reply{status: response.StatusCode, body: string(body), kind: response.Header.Get("Content-Type"), err: err}
}

func (s *site) start(ctx context.Context) <-chan reply {
	result := make(chan reply, 1)
	go func() { result <- s.post(ctx) }()
	return result
}

func TestRequestsPassWithoutAFault(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if got := s.post(t.Context()); got.err != nil || got.status != 200 || got.body != "hello" {
		t.Errorf("got %+v", got)
	}
}

func TestDownClosesWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	set(t, &s.Switch, fault.Down, 0, time.Hour)
	if got := s.post(t.Context()); got.err == nil {
		t.Errorf("got %+v", got)
	}
	s.Clear()
	if got := s.post(t.Context()); got.err != nil || s.served.Load() != 1 {
		t.Errorf("after it: %+v, served %d", got, s.served.Load())
	}
}

func TestErrorAnswersAPage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	set(t, &s.Switch, fault.Error, 0, time.Hour)
	got := s.post(t.Context())
	if got.status != 502 || got.kind != "text/html" || !strings.HasPrefix(got.body, "<html>") || s.served.Load() != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestHungAnswersWhenTheFaultEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	set(t, &s.Switch, fault.Hung, 0, time.Hour)
	pending := s.start(t.Context())
	eventually(t, "the request arrives", func() bool { return s.arrived.Load() == 1 })
	select {
	case got := <-pending:
		t.Fatalf("answered too early: %+v", got)
	default:
	}
	s.Clear()
	if got := <-pending; got.err != nil || got.body != "hello" {
		t.Errorf("got %+v", got)
	}
}

func TestHungBecomesAnotherFault(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	set(t, &s.Switch, fault.Hung, 0, 0)
	pending := s.start(t.Context())
	eventually(t, "the request arrives", func() bool { return s.arrived.Load() == 1 })
	set(t, &s.Switch, fault.Error, 0, time.Hour)
	if got := <-pending; got.status != 502 {
		t.Errorf("got %+v", got)
	}
}

func TestHungRequestOfAClientThatLeftIsNotServed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	left := make(chan struct{})
	handler := s.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { s.served.Add(1) }))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.arrived.Add(1)
		defer close(left)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url, s.client = server.URL, server.Client()
	set(t, &s.Switch, fault.Hung, 0, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	pending := s.start(ctx)
	eventually(t, "the request arrives", func() bool { return s.arrived.Load() == 1 })
	cancel()
	<-pending
	<-left
	s.Clear()
	if s.served.Load() != 0 {
		t.Error("it was served")
	}
}

func TestSlowServesAfterTheLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s fault.Switch
		set(t, &s, fault.Slow, 3*time.Second, time.Hour)
		start := time.Now()
		handler := s.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("hello")))
		if took := time.Since(start); took != 3*time.Second || recorder.Body.String() != "hello" {
			t.Errorf("got %q after %s", recorder.Body, took)
		}
	})
}

func TestHungServesWhenTheFaultEndsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s fault.Switch
		set(t, &s, fault.Hung, 0, time.Minute)
		start := time.Now()
		handler := s.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if took := time.Since(start); took != time.Minute || recorder.Code != http.StatusTeapot {
			t.Errorf("got %d after %s", recorder.Code, took)
		}
	})
}
