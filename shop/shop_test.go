package shop_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jackc/pgx/v5"

	"sallyport/shop"
	"sallyport/shop/shoptest"
	"sallyport/store"
	"sallyport/store/storetest"
)

var server *storetest.Server

func TestMain(m *testing.M) { storetest.Main(m, func(s *storetest.Server) { server = s }) }

// world is a shop over a real database and stand-ins for the outside.
type world struct {
	*shop.Shop
	t         *testing.T
	store     *store.Store
	node      *shoptest.Node
	gateway   *shoptest.Gateway
	stars     *shoptest.Gateway
	messenger *shoptest.Messenger
	limits    shop.Limits
	prober    *store.Prober

	mu    sync.Mutex
	clock time.Time
}

const anna = shop.UserID(1001)

func setup(t *testing.T) *world {
	t.Helper()
	url := server.Database(t)
	w := &world{
		t: t, store: server.OpenURL(t, url), prober: store.NewProber(url), node: shoptest.NewNode("de1"), gateway: shoptest.NewGateway(shop.CryptoBot),
		stars:     shoptest.NewGateway(shop.Stars),
		messenger: &shoptest.Messenger{}, clock: time.Now().UTC().Truncate(time.Microsecond),
	}
	t.Cleanup(w.prober.Close)
	w.node.Follow(w.now)
	w.Shop = w.shopWith(w.node)
	if _, err := w.Enter(t.Context(), anna, "ru"); err != nil {
		t.Fatal(err)
	}
	return w
}

// clocked is the storage with a clock of the test's.
type clocked struct {
	*store.Store
	clock func() time.Time
}

func (c clocked) Now(context.Context) (time.Time, error) { return c.clock(), nil }

func (w *world) shopWith(nodes ...shop.Node) *shop.Shop {
	return w.shopTaking([]string{"USDT"}, nodes...)
}

// shopTaking returns a shop that is paid in these.
func (w *world) shopTaking(assets []string, nodes ...shop.Node) *shop.Shop {
	var c atomic.Pointer[shop.Catalogue]
	sold := catalogue()
	sold.Limits = w.limits
	c.Store(&sold)
	providers := shoptest.Providers(w.gateway, struct{ shop.Gateway }{w.stars}) // not a Poller
	providers[0].Assets = assets
	return shop.New(shop.Config{
		Store: clocked{w.store, w.now}, Catalogue: &c, Nodes: func() []shop.Node { return nodes }, Messenger: w.messenger,
		Providers: providers, Now: w.now,
	})
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) order() shop.Order {
	w.t.Helper()
	o, err := w.PlaceOrder(w.t.Context(), anna, "basic", "30d", shop.CryptoBot)
	w.must(err)
	return o
}

// buy goes from order to settled payment.
func (w *world) buy() shop.Order {
	w.t.Helper()
	o := w.order()
	w.must(w.OpenInvoice(w.t.Context(), o.ID))
	outcome, err := w.Settle(w.t.Context(), w.gateway.Pay(o))
	w.must(err)
	if outcome != shop.Settled {
		w.t.Fatalf("outcome %q", outcome)
	}
	return o
}

func (w *world) sub() shop.Subscription {
	w.t.Helper()
	sub, err := w.store.Subscription(w.t.Context(), anna)
	w.must(err)
	return sub
}

// notices returns the messages owed to customers by kind, as stored jobs.
func (w *world) notices() map[string]int {
	w.t.Helper()
	rows, err := w.store.Pool().Query(w.t.Context(), `SELECT args->>'notice', count(*) FROM river_job WHERE kind = 'notify' GROUP BY 1`)
	w.must(err)
	defer rows.Close()
	found := make(map[string]int)
	for rows.Next() {
		var notice string
		var n int
		w.must(rows.Scan(&notice, &n))
		found[notice] = n
	}
	return found
}

func TestPurchaseGivesAccessAndTellsTheCustomer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.buy()
	w.must(w.Converge(t.Context(), anna))
	sub := w.sub()
	if sub.Status != shop.SubscriptionActive || !w.node.Has(sub.Access) || !sub.ExpiresAt.Equal(w.now().Add(month)) {
		t.Errorf("%+v", sub)
	}
	if n := w.notices()["ready"]; n != 1 {
		t.Errorf("%d ready notices", n)
	}
	w.must(w.Notify(t.Context(), shop.Notify{UserID: anna, Notice: shop.NoticeReady, OrderID: o.ID}))
	sent := w.messenger.Sent()
	if len(sent) != 1 || len(sent[0].Profile.Links) != 1 || sent[0].Order.ID != o.ID {
		t.Errorf("%+v", sent)
	}
}

func TestConvergeRepeatedTellsOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.buy()
	for range 3 {
		w.must(w.Converge(t.Context(), anna))
	}
	if n := w.notices()["ready"]; n != 1 {
		t.Errorf("%d ready notices", n)
	}
}

func TestNodeDownAtPaymentMeansLaterAndNoTimeLost(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.node.SetDown(true)
	w.buy()
	for range 3 {
		if err := w.Converge(t.Context(), anna); shop.KindOf(err) != shop.KindUnavailable {
			t.Fatalf("%v", err)
		}
		w.pass(time.Hour)
	}
	if got := w.notices(); got["delayed"] != 1 || got["ready"] != 0 {
		t.Errorf("notices %v", got)
	}
	w.node.SetDown(false)
	w.must(w.Converge(t.Context(), anna))
	if sub := w.sub(); !sub.ExpiresAt.Equal(w.now().Add(month)) || !w.node.Has(sub.Access) {
		t.Errorf("%+v", sub)
	}
	if n := w.notices()["ready"]; n != 1 {
		t.Errorf("%d ready notices", n)
	}
}

// A renewal is a promise too: while no node confirms it, the customer is told, and
// neither the time they had nor the time they paid for runs.
func TestRenewalWhileNodesAreDownLosesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.buy()
	w.must(w.Converge(t.Context(), anna))
	w.node.SetDown(true)
	w.buy()
	if err := w.Converge(t.Context(), anna); shop.KindOf(err) != shop.KindUnavailable {
		t.Fatal(err)
	}
	w.pass(3 * month)
	w.must(w.Expire(t.Context()))
	w.node.SetDown(false)
	w.must(w.Converge(t.Context(), anna))
	if sub := w.sub(); sub.Status != shop.SubscriptionActive || !sub.ExpiresAt.Equal(w.now().Add(2*month)) {
		t.Errorf("%+v", sub)
	}
	if got := w.notices(); got["delayed"] != 1 || got["ready"] != 2 || got["expired"] != 0 {
		t.Errorf("notices %v", got)
	}
}

// What a notice says may be over by the time it can be sent.
func TestNoticesThatNoLongerHoldAreNotSent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.buy()
	w.must(w.Converge(t.Context(), anna))
	for _, notice := range []shop.Notice{shop.NoticeExpired, shop.NoticeDelayed} {
		w.must(w.Notify(t.Context(), shop.Notify{UserID: anna, Notice: notice}))
	}
	if sent := w.messenger.Sent(); len(sent) != 0 {
		t.Errorf("told %+v to an active customer", sent)
	}
}

// returns has Anna write to a bot that she had blocked, and does what follows.
func (w *world) returns() {
	w.t.Helper()
	before := w.jobs("converge_user")
	_, err := w.Enter(w.t.Context(), anna, "ru")
	w.must(err)
	if n := w.jobs("converge_user"); n != before {
		w.t.Errorf("nodes are told again by a return: %d jobs, had %d", n, before)
	}
	for range w.notices()["missed"] {
		w.must(w.Notify(w.t.Context(), shop.Notify{UserID: anna, Notice: shop.NoticeMissed}))
	}
}

// undelivered returns how many customers an operator is told to have paid and to have no access.
func (w *world) undelivered() int {
	w.t.Helper()
	v, err := w.prober.Vitals(w.t.Context())
	w.must(err)
	return v.Undelivered
}

var errBlocked = shop.Forbidden(errors.New("bot was blocked by the user"))

func TestAKeyThatCouldNotBeSentIsSentOnReturn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.buy()
	w.must(w.Converge(t.Context(), anna))
	ready := shop.Notify{UserID: anna, Notice: shop.NoticeReady, OrderID: o.ID}
	w.messenger.Fail(errBlocked)
	w.must(w.Notify(t.Context(), ready))
	w.messenger.Fail(nil)
	w.must(w.Notify(t.Context(), ready)) // still blocked: nothing is tried
	if n := w.undelivered(); n != 0 {
		t.Errorf("%d customers are said to have no access: a node lets them in", n)
	}
	w.returns()
	if sent := w.messenger.Sent(); len(sent) != 1 || sent[0].Notice != shop.NoticeReady || len(sent[0].Profile.Links) == 0 {
		t.Errorf("%+v", sent)
	}
	w.returns()
	if sent := w.messenger.Sent(); len(sent) != 1 {
		t.Errorf("told %d times", len(sent))
	}
}

// What could not be told is true no more: the customer is told what is, and once.
func TestWhoReturnsAfterTheEndIsToldOfItAndOfNoOldOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.buy()
	w.must(w.Converge(t.Context(), anna))
	w.messenger.Fail(errBlocked)
	w.must(w.Notify(t.Context(), shop.Notify{UserID: anna, Notice: shop.NoticeReady, OrderID: o.ID}))
	w.pass(40 * 24 * time.Hour)
	w.must(w.Expire(t.Context()))
	w.must(w.Notify(t.Context(), shop.Notify{UserID: anna, Notice: shop.NoticeExpired}))
	w.messenger.Fail(nil)
	w.returns()
	if sent := w.messenger.Sent(); len(sent) != 1 || sent[0].Notice != shop.NoticeExpired {
		t.Errorf("%+v", sent)
	}
	before := w.notices()["ready"]
	w.buy()
	w.must(w.Converge(t.Context(), anna))
	if n := w.notices()["ready"] - before; n != 1 {
		t.Errorf("one purchase is announced %d times", n)
	}
}

// Between Telegram's refusal and our note of it the customer may have come back.
func TestAReturnInTheSameMomentMissesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.buy()
	w.must(w.Converge(t.Context(), anna))
	kept, err := w.store.Miss(t.Context(), anna)
	w.must(err)
	if kept {
		t.Error("a customer who can be reached is said to miss something")
	}
	w.must(w.store.SetReachable(t.Context(), anna, false))
	kept, err = w.store.Miss(t.Context(), anna)
	w.must(err)
	w.must(w.store.Told(t.Context(), anna)) // of an earlier notice
	u, err := w.store.User(t.Context(), anna)
	w.must(err)
	if !kept || !u.Missed {
		t.Errorf("what cannot be told is not kept: %v, %+v", kept, u)
	}
	w.must(w.Notify(t.Context(), shop.Notify{UserID: anna, Notice: shop.NoticeReady, OrderID: o.ID}))
	w.returns()
	if sent := w.messenger.Sent(); len(sent) != 1 {
		t.Errorf("%+v", sent)
	}
}

// Who never bought has missed nothing, and no node is troubled with them.
func TestWhoNeverBoughtReturnsQuietly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.must(w.Left(t.Context(), anna))
	w.returns()
	w.must(w.Converge(t.Context(), anna))
	if n := len(w.messenger.Sent()) + w.jobs("notify") + w.node.Absences(); n != 0 {
		t.Errorf("%d messages, jobs and calls", n)
	}
}

func (w *world) jobs(kind string) (n int) {
	w.t.Helper()
	w.must(w.store.Pool().QueryRow(w.t.Context(), `SELECT count(*) FROM river_job WHERE kind = $1`, kind).Scan(&n))
	return n
}

// A purchase lands while a node is rid of those who do not belong there.
func TestAPurchaseDuringAComparisonIsNotUndone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.buy()
	w.must(w.Converge(t.Context(), anna))
	w.pass(month)
	w.must(w.Expire(t.Context()))
	w.pass(time.Minute) // and nobody has told the node yet
	w.node.BeforeAbsent(func() { w.buy(); w.must(w.Converge(t.Context(), anna)) })
	w.must(w.CheckNode(t.Context(), "de1"))
	if !w.node.Has(w.sub().Access) {
		t.Error("paid, told so, and shut out")
	}
}

// A purchase lands while a job that has read the end is still telling the nodes.
func TestAStaleAbsentDoesNotOutliveAPurchase(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.buy()
	w.must(w.Converge(t.Context(), anna))
	w.pass(month)
	w.must(w.Expire(t.Context()))
	w.node.BeforeAbsent(func() { w.buy(); w.must(w.Converge(t.Context(), anna)) })
	w.must(w.Converge(t.Context(), anna))
	if !w.node.Has(w.sub().Access) {
		t.Error("paid, told so, and shut out")
	}
}

func TestMostUsersOfANodeAreNeverRemovedAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i := range 30 {
		w.node.Put(shop.Access{ID: shop.AccessID(fmt.Sprint("a9", i)), UUID: uuid.New()})
	}
	if err := w.CheckNode(t.Context(), "de1"); err == nil || !strings.Contains(err.Error(), "right database") {
		t.Errorf("emptied a node for a database that knows nobody: %v", err)
	}
	if n, _ := w.node.Count(t.Context()); n != 30 {
		t.Errorf("%d users left", n)
	}
}

func TestTheKeyOfTheNodeThatAnsweredComesFirst(t *testing.T) {
	t.Parallel()
	w := setup(t)
	other := shoptest.NewNode("nl1")
	s := w.shopWith(w.node, other)
	w.node.SetDown(true)
	o := w.buy()
	w.must(s.Converge(t.Context(), anna))
	var job shop.Notify
	w.must(w.store.Pool().QueryRow(t.Context(), `SELECT args FROM river_job WHERE args->>'notice' = 'ready'`).Scan(&job))
	w.must(s.Notify(t.Context(), job))
	if sent := w.messenger.Sent(); len(sent) != 1 || sent[0].Profile.Links[0].Node != "nl1" || sent[0].Order.ID != o.ID {
		t.Errorf("%+v", sent)
	}
}

func TestExpiryShutsOutAndReturnBringsTheSameKeyBack(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.buy()
	w.must(w.Converge(t.Context(), anna))
	first := w.sub().Access
	w.pass(month - time.Second)
	if n, err := w.ExpireDue(t.Context()); n != 0 || err != nil {
		t.Error("ended early", n, err)
	}
	w.pass(time.Second)
	for range 2 {
		_, err := w.ExpireDue(t.Context())
		w.must(err)
	}
	w.must(w.Converge(t.Context(), anna))
	if w.node.Has(first) {
		t.Error("an expired customer is let in")
	}
	if n := w.notices()["expired"]; n != 1 {
		t.Errorf("%d expiry notices", n)
	}
	if p, err := w.Profile(t.Context(), anna); err != nil || len(p.Links) != 0 || p.Subscription.Status != shop.SubscriptionExpired {
		t.Errorf("%+v, %v", p, err)
	}
	w.buy()
	w.must(w.Converge(t.Context(), anna))
	if sub := w.sub(); sub.Access != first || !w.node.Has(first) {
		t.Errorf("another key: %+v", sub)
	}
}

// Many end together: all are shut out of every node that is up and told once, and none
// of those who stay is touched.
func TestManyEndTogether(t *testing.T) {
	t.Parallel()
	w := setup(t)
	other := shoptest.NewNode("nl1").Follow(w.now)
	s := w.shopWith(w.node, other)
	const many, gone = 1250, 1240
	_, err := w.store.Pool().Exec(t.Context(), `INSERT INTO users (id, language) SELECT n, 'en' FROM generate_series(1, $1) n ON CONFLICT DO NOTHING`, many)
	w.must(err)
	_, err = w.store.Pool().Exec(t.Context(), `
		INSERT INTO subscriptions (user_id, plan, status, expires_at)
		SELECT id, 'basic', 'active', CASE WHEN id <= $1 THEN $2::timestamptz ELSE $2::timestamptz + interval '1 hour' END FROM users WHERE id <= $3`,
		gone, w.now(), many)
	w.must(err)
	w.must(s.CheckNode(t.Context(), w.node.Name()))
	w.must(s.CheckNode(t.Context(), other.Name()))
	if n, err := s.ExpireDue(t.Context()); n != gone || err != nil {
		t.Errorf("%d ended, %v", n, err)
	}
	if n, err := s.ExpireDue(t.Context()); n != 0 || err != nil {
		t.Errorf("%d ended again, %v", n, err)
	}
	if n := w.notices()["expired"]; n != gone {
		t.Errorf("%d notices", n)
	}
	for range 2 { // that the node still has them is no drift
		_, err = w.store.Pool().Exec(t.Context(), `UPDATE nodes SET checked_at = checked_at - interval '10 seconds', synced_at = synced_at - interval '1 minute'`)
		w.must(err)
		w.must(s.CheckNode(t.Context(), w.node.Name()))
	}
	var compared bool
	w.must(w.store.Pool().QueryRow(t.Context(), `SELECT synced_at > now() - interval '1 minute' FROM nodes WHERE name = $1`, w.node.Name()).Scan(&compared))
	if compared {
		t.Error("the node was compared in full for those who are leaving")
	}
	w.node.SetDown(true)
	rows, err := w.store.Pool().Query(t.Context(), `SELECT args FROM river_job WHERE kind = 'converge_users' ORDER BY id`)
	w.must(err)
	jobs, err := pgx.CollectRows(rows, pgx.RowTo[shop.ConvergeUsers])
	w.must(err)
	for _, job := range jobs {
		if err := s.ConvergeAll(t.Context(), job.UserIDs); err != nil { // its check does the rest
			t.Errorf("with one node down: %v", err)
		}
	}
	count := func(n *shoptest.Node) int { users, err := n.Count(t.Context()); w.must(err); return users }
	if n := count(other); n != many-gone {
		t.Errorf("the node that was up lets %d in", n)
	}
	w.node.SetDown(false)
	_, err = w.store.Pool().Exec(t.Context(), `UPDATE subscriptions SET updated_at = updated_at - interval '1 minute'`)
	w.must(err)
	w.must(s.CheckNode(t.Context(), w.node.Name())) // that so many have ended is no riddle to it
	if n := count(w.node); n != many-gone {
		t.Errorf("the node that was down lets %d in", n)
	}
}

func TestRestartedNodeGetsEveryUserBack(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.buy()
	w.must(w.Converge(t.Context(), anna))
	w.must(w.CheckNode(t.Context(), "de1"))
	w.node.Restart()
	w.must(w.CheckNode(t.Context(), "de1"))
	if !w.node.Has(w.sub().Access) {
		t.Error("not restored")
	}
}

func TestCheckNodeRepairsDriftBothWays(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.buy()
	w.must(w.Converge(t.Context(), anna))
	w.must(w.CheckNode(t.Context(), "de1"))
	ghost := shop.Access{ID: "a999999", UUID: uuid.New()}
	w.node.Put(ghost)
	_, err := w.store.Pool().Exec(t.Context(), `UPDATE nodes SET checked_at = checked_at - interval '10 seconds'`)
	w.must(err) // users are counted no more often
	w.must(w.CheckNode(t.Context(), "de1"))
	if !w.node.Has(ghost) {
		t.Error("one odd count is not yet drift: a purchase may be under way")
	}
	w.must(w.CheckNode(t.Context(), "de1"))
	if w.node.Has(ghost) || !w.node.Has(w.sub().Access) {
		t.Error("drift stays")
	}
}

func TestCheckNodeLetsInWhoWaited(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.buy()
	w.must(w.CheckNode(t.Context(), "de1"))
	if sub := w.sub(); sub.Status != shop.SubscriptionActive || !w.node.Has(sub.Access) {
		t.Errorf("%+v", sub)
	}
	if n := w.notices()["ready"]; n != 1 {
		t.Errorf("%d ready notices", n)
	}
}

func TestCheckNodeThatCannotListChangesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.node.SetDown(true)
	if err := w.CheckNode(t.Context(), "de1"); shop.KindOf(err) != shop.KindUnavailable {
		t.Error(err)
	}
	if err := w.CheckNode(t.Context(), "nowhere"); !errors.Is(err, shop.ErrNotFound) {
		t.Error(err)
	}
}

func TestSameWishReturnsTheSameOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.order()
	if again := w.order(); again.ID != first.ID {
		t.Error("a repeated press made a second order")
	}
	other, err := w.PlaceOrder(t.Context(), anna, "basic", "90d", shop.CryptoBot)
	w.must(err)
	if old, _ := w.OrderOf(t.Context(), anna, first.ID); old.Status != shop.OrderCancelled || other.ID == first.ID {
		t.Errorf("%+v", old)
	}
	w.pass(shop.OrderLifetime)
	if late, err := w.PlaceOrder(t.Context(), anna, "basic", "90d", shop.CryptoBot); err != nil || late.ID == other.ID {
		t.Error("an order whose time is over was given again", err)
	}
	if _, err := w.PlaceOrder(t.Context(), anna, "gold", "30d", shop.CryptoBot); !errors.Is(err, shop.ErrNoOffer) {
		t.Error(err)
	}
}

func TestACustomerBuysWithinTheLimits(t *testing.T) {
	t.Parallel()
	w := setup(t)
	buy := func(period shop.PeriodID) error {
		_, err := w.PlaceOrder(t.Context(), anna, "basic", period, shop.CryptoBot)
		return err
	}
	w.limits = shop.Limits{Orders: 3}
	w.Shop = w.shopWith(w.node)
	for n, period := range []shop.PeriodID{"30d", "90d", "30d"} {
		if err := buy(period); err != nil {
			t.Errorf("order %d: %v", n, err)
		}
	}
	if err := buy("90d"); !errors.Is(err, shop.ErrManyOrders) {
		t.Errorf("the fourth within an hour: %v", err)
	}
	if err := buy("30d"); err != nil {
		t.Errorf("the way back to the open order: %v", err)
	}
	w.pass(61 * time.Minute)
	w.buy()
	w.limits = shop.Limits{Prepaid: 119 * 24 * time.Hour}
	w.node.Follow(w.now)
	w.Shop = w.shopWith(w.node)
	if err := buy("90d"); !errors.Is(err, shop.ErrPrepaid) {
		t.Errorf("beyond what may be prepaid: %v", err)
	}
	if err := buy("30d"); err != nil {
		t.Errorf("within what may be prepaid: %v", err)
	}
	_, err := w.Enter(t.Context(), anna+1, "ru")
	w.must(err)
	for period, want := range map[shop.PeriodID]error{"30d": nil, "90d": shop.ErrPrepaid} {
		w.limits = shop.Limits{Prepaid: 40 * 24 * time.Hour}
		w.Shop = w.shopWith(w.node)
		if _, err := w.PlaceOrder(t.Context(), anna+1, "basic", period, shop.CryptoBot); !errors.Is(err, want) {
			t.Errorf("%s of who has nothing yet: %v, want %v", period, err, want)
		}
	}
}

func TestOrdersAreTheirOwners(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.order()
	if _, err := w.OrderOf(t.Context(), anna+1, o.ID); !errors.Is(err, shop.ErrUnknownOrder) {
		t.Error(err)
	}
	if err := w.CancelOrder(t.Context(), anna+1, o.ID); !errors.Is(err, shop.ErrUnknownOrder) {
		t.Error(err)
	}
	w.must(w.CancelOrder(t.Context(), anna, o.ID))
	if err := w.CancelOrder(t.Context(), anna, o.ID); !errors.Is(err, shop.ErrOrderClosed) {
		t.Error(err)
	}
}

func TestInvoiceOfAClosedOrderIsNotMade(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.order()
	w.must(w.CancelOrder(t.Context(), anna, o.ID))
	w.must(w.OpenInvoice(t.Context(), o.ID))
	if n := w.gateway.Made(); n != 0 {
		t.Errorf("%d invoices", n)
	}
}

// Its time is over by a clock that is wrong: nobody has closed the order.
func TestAnOpenOrderWaitsForItsInvoiceUntilItIsClosed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.order()
	w.pass(2 * time.Hour)
	if err := w.OpenInvoice(t.Context(), o.ID); shop.KindOf(err) != shop.KindUnavailable {
		t.Errorf("the job ends with %v, want it tried again", err)
	}
	w.pass(-2 * time.Hour)
	w.must(w.OpenInvoice(t.Context(), o.ID))
	if n := w.gateway.Made(); n != 1 {
		t.Errorf("%d invoices", n)
	}
}

func TestLostCallbackIsFoundByEitherLeg(t *testing.T) {
	t.Parallel()
	for name, leg := range map[string]func(*world) error{
		"poll":  func(w *world) error { return w.PollInvoices(context.Background(), "") },
		"sweep": func(w *world) error { return w.SweepPayments(context.Background(), "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			o := w.order()
			w.must(w.OpenInvoice(t.Context(), o.ID))
			w.must(leg(w))
			w.gateway.Pay(o)
			for range 2 {
				w.must(leg(w))
			}
			if sub := w.sub(); sub.Status != shop.SubscriptionWaiting || !sub.ExpiresAt.Equal(w.now().Add(month)) {
				t.Errorf("%+v", sub)
			}
		})
	}
}

func TestConcurrentPurchasesOfOneCustomerBothCount(t *testing.T) {
	t.Parallel()
	w := setup(t)
	events := make([]shop.PaymentEvent, 5)
	for i := range events {
		o := w.order()
		w.must(w.OpenInvoice(t.Context(), o.ID))
		events[i] = w.gateway.Pay(o)
		w.must(w.CancelOrder(t.Context(), anna, o.ID))
	}
	var wg sync.WaitGroup
	for _, e := range events {
		wg.Go(func() {
			if _, err := w.Settle(context.Background(), e); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sub := w.sub(); !sub.ExpiresAt.Equal(w.now().Add(5 * month)) {
		t.Errorf("five periods paid, access until %s", sub.ExpiresAt.Sub(w.now()))
	}
}

func TestBlockedCustomerIsNotedAndNotTroubled(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.messenger.Fail(shop.Forbidden(errors.New("bot was blocked by the user")))
	w.must(w.Notify(t.Context(), shop.Notify{UserID: anna, Notice: shop.NoticeInvoice}))
	u, err := w.store.User(t.Context(), anna)
	w.must(err)
	if u.Reachable {
		t.Error("still thought reachable")
	}
	w.messenger.Fail(shoptest.ErrDown)
	w.must(w.Notify(t.Context(), shop.Notify{UserID: anna, Notice: shop.NoticeInvoice})) // not even tried
	_, err = w.Enter(t.Context(), anna, "ru")
	w.must(err)
	if err := w.Notify(t.Context(), shop.Notify{UserID: anna, Notice: shop.NoticeInvoice}); shop.KindOf(err) != shop.KindUnavailable {
		t.Error("a message that did not get through must be tried again", err)
	}
}

// The operator is told whose invoices are refused, for as long as somebody wants to pay one.
func TestInvoicesThatAreRefusedAreNamedToTheOperator(t *testing.T) {
	t.Parallel()
	w := setup(t)
	refused := func() map[shop.Provider]int {
		v, err := w.prober.Vitals(t.Context())
		w.must(err)
		return v.RefusedInvoices
	}
	w.gateway.Refuse.Store(true)
	o := w.order()
	for try := 1; try <= 2; try++ {
		if err := w.OpenInvoice(t.Context(), o.ID); shop.KindOf(err) != shop.KindInternal {
			t.Fatal(err)
		}
		if got := refused(); len(got) != try-1 {
			t.Errorf("after %d tries: %v", try, got)
		}
	}
	if got := refused(); got[shop.CryptoBot] != 1 {
		t.Errorf("%v", got)
	}
	w.gateway.Refuse.Store(false)
	w.gateway.Down.Store(true) // that is no refusal
	if err := w.OpenInvoice(t.Context(), o.ID); shop.KindOf(err) != shop.KindUnavailable {
		t.Error(err)
	}
	w.must(w.CancelOrder(t.Context(), anna, o.ID))
	if got := refused(); len(got) != 0 {
		t.Errorf("nobody wants to pay it any more: %v", got)
	}
}

func TestExpireClosesUnpaidOrders(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o := w.order()
	w.pass(shop.OrderLifetime)
	w.must(w.Expire(t.Context()))
	if got, _ := w.OrderOf(t.Context(), anna, o.ID); got.Status != shop.OrderExpired {
		t.Errorf("%+v", got)
	}
	w.must(w.CleanUp(t.Context()))
}

func TestLanguageMustBeSpoken(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if err := w.ChooseLanguage(t.Context(), anna, "xx"); !errors.Is(err, shop.ErrNoLanguage) {
		t.Error(err)
	}
	w.must(w.ChooseLanguage(t.Context(), anna, shop.English))
	w.must(w.Left(t.Context(), anna))
}
