package telegram

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"time"
)

// update is one thing that the bot has not been told of yet.
type update struct {
	id      int64
	seq     int64 // order of arrival
	kind    string
	body    []byte
	expires time.Time
	fails   int
	delay   time.Duration // before the retry after the next one

	confirmed bool // by the offset of getUpdates
}

// queue holds the updates of one key; they are delivered strictly one after another.
type queue struct {
	items []*update
	busy  bool // a goroutine of the present webhook delivers it
}

// updates holds every queue.
type updates struct {
	next, seq int64
	queues    map[string]*queue
	allowed   []string      // nil means the default set
	signal    chan struct{} // closed and replaced on every new update
}

func newUpdates(first int64) updates {
	return updates{next: first, queues: make(map[string]*queue), signal: make(chan struct{})}
}

// knownKinds lists every kind of update; the last three are not in the default set.
func knownKinds() []string {
	return []string{
		"message", "edited_message", "channel_post", "edited_channel_post", "business_connection", "business_message",
		"edited_business_message", "deleted_business_messages", "guest_message", "inline_query", "chosen_inline_result",
		"callback_query", "shipping_query", "pre_checkout_query", "purchased_paid_media", "poll", "poll_answer",
		"my_chat_member", "chat_join_request", "chat_boost", "removed_chat_boost", "managed_bot", "subscription",
		"stopped_message_generation", "message_reaction", "message_reaction_count", "chat_member",
	}
}

const kindsOutsideDefault = 3

// readAllowed turns a list of kinds into the stored form: unknown names are ignored, none known means the default.
func readAllowed(names []string) []string {
	var allowed []string
	for _, kind := range knownKinds() {
		if contains(names, kind) {
			allowed = append(allowed, kind)
		}
	}
	return allowed
}

func (u *updates) allows(kind string) bool {
	if len(u.allowed) > 0 {
		return contains(u.allowed, kind)
	}
	all := knownKinds()
	return contains(all[:len(all)-kindsOutsideDefault], kind)
}

func contains(list []string, value string) bool {
	for _, item := range list {
		if item == value {
			return true
		}
	}
	return false
}

// queueUpdate queues an update of the emulated world, unless the bot did not ask for its kind. The caller holds the lock.
func (s *Server) queueUpdate(kind string, owner int64, expires time.Time, payload any) error {
	if !s.updates.allows(kind) {
		return nil
	}
	id := s.updates.next
	body, err := json.Marshal(map[string]any{"update_id": id, kind: payload})
	if err != nil {
		return fmt.Errorf("encode the %s update: %w", kind, err)
	}
	s.updates.next++
	s.enqueue(queueKey(kind, strconv.FormatInt(owner, 10)), &update{id: id, kind: kind, body: body, expires: expires})
	return nil
}

// enqueue appends to a queue and wakes whoever delivers. The caller holds the lock.
func (s *Server) enqueue(key string, u *update) {
	q, ok := s.updates.queues[key]
	if !ok {
		q = &queue{}
		s.updates.queues[key] = q
	}
	s.updates.seq++
	u.seq = s.updates.seq
	q.items = append(q.items, u)
	close(s.updates.signal)
	s.updates.signal = make(chan struct{})
	s.startDelivery(key, q)
}

// queueKey puts messages and membership into queues per chat, and queries into queues per person, each kind of them apart.
func queueKey(kind, owner string) string {
	switch kind {
	case "message", "edited_message", "channel_post", "edited_channel_post":
		return "chat:" + owner
	case "pre_checkout_query", "shipping_query":
		return "checkout:" + owner
	}
	return kind + ":" + owner
}

// lifeOf is how long an injected update of the kind is kept.
func lifeOf(kind string) time.Duration {
	switch kind {
	case "callback_query", "pre_checkout_query", "shipping_query":
		return queryLife
	case "inline_query":
		return 30 * time.Second
	case "chosen_inline_result":
		return 10 * time.Minute
	}
	return messageLife
}

// Inject queues a raw update. A present update_id is kept, so duplicates are possible; allowed_updates does not apply.
// People named in it become known to the bot, and a callback query in it can be answered.
func (s *Server) Inject(raw json.RawMessage) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return fmt.Errorf("decode the injected update: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.updates.next
	if given, ok := object["update_id"]; ok {
		if err := json.Unmarshal(given, &id); err != nil {
			return fmt.Errorf("decode the injected update_id: %w", err)
		}
	}
	s.updates.next = max(s.updates.next, id+1)
	delete(object, "update_id")
	kind, owner := s.inspect(object)
	object["update_id"] = json.RawMessage(strconv.FormatInt(id, 10))
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode the injected update: %w", err)
	}
	s.enqueue(queueKey(kind, owner), &update{id: id, kind: kind, body: body, expires: s.cfg.Now().Add(lifeOf(kind))})
	return nil
}

// inspect finds kind and owner of an injected update and makes its person and its query known.
func (s *Server) inspect(object map[string]json.RawMessage) (kind, owner string) {
	for _, kind = range sortedNames(object) {
		break
	}
	var payload struct {
		ID   string `json:"id"`
		From User   `json:"from"`
		Chat struct {
			ID int64 `json:"id"`
		} `json:"chat"`
	}
	_ = json.Unmarshal(object[kind], &payload) // an odd body has no owner, and is delivered all the same
	if payload.From.ID > 0 {
		s.meet(payload.From)
	}
	if kind == "callback_query" && payload.ID != "" {
		s.remember(payload.ID, payload.From.ID)
	}
	return kind, strconv.FormatInt(or(payload.Chat.ID, payload.From.ID), 10)
}

// Pending counts the updates that are neither delivered nor expired.
func (s *Server) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting())
}

// waiting drops expired updates and returns the others in the order of arrival.
func (s *Server) waiting() []*update {
	now := s.cfg.Now()
	var all []*update
	for key, q := range s.updates.queues {
		s.dropExpired(key, q, now)
		all = append(all, q.items...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].seq < all[j].seq })
	return all
}

func (s *Server) dropExpired(key string, q *queue, now time.Time) {
	kept := q.items[:0:0]
	for _, u := range q.items {
		if now.Before(u.expires) {
			kept = append(kept, u)
		}
	}
	q.items = kept
	s.forgetEmpty(key, q)
}

// forgetEmpty removes a queue that nothing holds any more.
func (s *Server) forgetEmpty(key string, q *queue) {
	if len(q.items) == 0 && !q.busy && s.updates.queues[key] == q {
		delete(s.updates.queues, key)
	}
}

// removeUpdate takes a delivered or expired update out of its queue.
func (q *queue) removeUpdate(u *update) {
	for i, item := range q.items {
		if item == u {
			q.items = append(q.items[:i:i], q.items[i+1:]...)
			return
		}
	}
}
