package telegram_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/sandbox/telegram"
)

func texts(list []got) []string {
	out := []string{}
	for _, u := range list {
		out = append(out, u.Message.Text)
	}
	return out
}

func TestGetUpdates(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, text := range []string{"a", "b", "c", "d"} {
		w.says(ann(), text)
	}
	all := w.updates(0, 0)
	steps := []struct {
		name   string
		params params
		want   []string
	}{
		{"everything, again and again", nil, []string{"a", "b", "c", "d"}},
		{"a limit", params{"limit": 2}, []string{"a", "b"}},
		{"a limit of nothing is one", params{"limit": 0}, []string{"a"}},
		{"an offset confirms", params{"offset": all[1].ID}, []string{"b", "c", "d"}},
		{"the same offset again", params{"offset": all[1].ID}, []string{"b", "c", "d"}},
		{"a negative offset keeps the newest", params{"offset": -2}, []string{"c", "d"}},
		{"a negative offset beyond the beginning", params{"offset": -20}, []string{"c", "d"}},
		{"past the end", params{"offset": all[3].ID + 1}, []string{}},
		{"nothing is left", nil, []string{}},
	}
	for _, step := range steps {
		var list []got
		w.must("getUpdates", step.params, &list)
		if diff := cmp.Diff(step.want, texts(list)); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
	if n := w.tg.Pending(); n != 0 {
		t.Errorf("%d pending", n)
	}
}

func TestLongPollWakes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	done := make(chan []got, 1)
	go func() { done <- w.updates(0, 30) }()
	w.says(ann(), "wake up")
	if diff := cmp.Diff([]string{"wake up"}, texts(receive(t, done))); diff != "" {
		t.Error(diff)
	}
}

func TestLongPollTimesOut(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if list := w.updates(0, 1); len(list) != 0 {
		t.Errorf("got %d", len(list))
	}
}

// polling starts a long poll.
func (w *world) polling() <-chan reply {
	done := make(chan reply, 1)
	go func() { done <- w.call("getUpdates", params{"timeout": 50}) }()
	return done
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.polling()
	second := w.polling()
	var ended reply
	var other <-chan reply
	select {
	case ended = <-first:
		other = second
	case ended = <-second:
		other = first
	case <-within(t).Done():
		t.Fatal("two polls at once")
	}
	const text = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
	if ended.Status != 409 || ended.Description != text {
		t.Errorf("got %d %s", ended.Status, ended.Description)
	}
	h := listen(t, nil)
	w.must("setWebhook", params{"url": h.URL}, nil)
	if r := receive(t, other); r.Status != 409 || r.Description != "Conflict: terminated by setWebhook request" {
		t.Errorf("got %d %s", r.Status, r.Description)
	}
	w.refused(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first", "getUpdates", nil)
	w.must("deleteWebhook", nil, nil)
	w.updates(0, 0)
}

func TestCloseEndsThePoll(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.says(ann(), "hi")
	offset := w.drained()
	ended := make(chan reply, 1)
	go func() { ended <- w.call("getUpdates", params{"offset": offset, "timeout": 50}) }()
	w.tg.Close()
	if r := receive(t, ended); r.Status != 500 {
		t.Errorf("got %d %s", r.Status, r.Description)
	}
}

func TestAllowedUpdatesOfPolling(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.must("getUpdates", params{"allowed_updates": []string{"callback_query"}}, nil)
	w.start()
	if n := w.tg.Pending(); n != 0 {
		t.Errorf("%d pending", n)
	}
	w.must("getUpdates", params{"allowed_updates": []string{}}, nil)
	w.start()
	if n := w.tg.Pending(); n != 1 {
		t.Errorf("%d pending", n)
	}
}

func TestInjectedUpdates(t *testing.T) {
	t.Parallel()
	w := setup(t)
	inject := func(body string) {
		t.Helper()
		if err := w.tg.Inject(json.RawMessage(body)); err != nil {
			t.Fatal(err)
		}
	}
	inject(`{"update_id":7,"callback_query":{"id":"55","from":{"id":1001,"first_name":"Ann"},"data":"x"}}`)
	inject(`{"update_id":7,"callback_query":{"id":"55","from":{"id":1001,"first_name":"Ann"},"data":"x"}}`)
	inject(`{"subscription":{"user":{"id":1001},"state":"canceled","invoice_payload":"p"}}`)
	inject(`{"update_id":8,"from_the_future":[1,2]}`)
	inject(`{}`)
	if err := w.tg.Inject(json.RawMessage(`[]`)); err == nil {
		t.Error("a list was taken for an update")
	}
	if err := w.tg.Inject(json.RawMessage(`{"update_id":"x"}`)); err == nil {
		t.Error("a wrong id was taken")
	}
	list := w.updates(0, 0)
	if len(list) != 5 || list[0].ID != 7 || list[1].ID != 7 || list[3].ID != 8 || list[4].ID != list[2].ID+1 {
		t.Errorf("got %+v", list)
	}
	w.must("answerCallbackQuery", params{"callback_query_id": "55", "text": "ok"}, nil)
	w.send("the person is known now", nil)
	if n := len(w.tg.Chat(1001).Answers); n != 1 {
		t.Errorf("%d answers", n)
	}
}

func TestUpdateIDsGrowByOne(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for id := range int64(5) {
		w.says(telegram.User{ID: 10 + id, FirstName: fmt.Sprint("P", id)}, "hi")
	}
	list := w.updates(0, 0)
	for i := 1; i < len(list); i++ {
		if list[i].ID != list[i-1].ID+1 {
			t.Errorf("%d after %d", list[i].ID, list[i-1].ID)
		}
	}
	if diff := cmp.Diff([]int64{10, 11, 12, 13, 14}, w.tg.Users()); diff != "" {
		t.Error(diff)
	}
	if info := string(w.tg.WebhookInfo()); !strings.Contains(info, `"pending_update_count":5`) {
		t.Errorf("got %s", info)
	}
}
