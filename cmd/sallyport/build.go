package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"sallyport/api"
	"sallyport/bot"
	"sallyport/outbound"
	"sallyport/payments/cryptobot"
	"sallyport/payments/stars"
	"sallyport/shop"
	"sallyport/store"
	"sallyport/workers"
	"sallyport/xray"
)

// program is every part of the process, wired.
type program struct {
	config     config
	holder     string // names this process among the replicas
	log        *zap.Logger
	metrics    *prometheus.Registry
	payments   *prometheus.CounterVec
	observe    func(host, op string, took time.Duration, err error)
	closers    []func()
	hosts      map[string]*outbound.Host // by name
	catalogue  atomic.Pointer[shop.Catalogue]
	nodes      atomic.Pointer[[]*xray.Node] // of the catalogue
	refused    atomic.Pointer[error]        // why the last reload of it failed; nil if it did not
	deliveries *store.Store                 // what others wait for us to take
	dialogs    *store.Store
	work       *store.Store
	client     *bot.Client
	sender     *bot.Sender
	cryptobot  *cryptobot.Client
	stars      *stars.Client
	front      *bot.Bot
	lanes      *bot.Lanes
	workers    *workers.Workers
	certs      api.Certificates // nil behind a proxy that has its own
	acme       *api.ACME        // nil unless TLS=acme
	selfSigned *api.SelfSigned  // nil unless TLS=selfsigned
	edge       *api.Edge
	door       *api.Door // before every listener that strangers reach
	health     *api.Health
	keeper     *bot.Keeper
	watch      *api.Watch
	operator   *bot.Operator // nil if there is no chat for alerts
	pinger     *store.Prober // asks whether the database answers, whatever prober waits for
	prober     *store.Prober
	vitals     atomic.Pointer[seenVitals] // the last that were read
	eldest     atomic.Bool                // of all processes alive, this one is: it reports to the operator
	latest     atomic.Bool                // no process that began later wants another webhook
	keeps      atomic.Bool                // the webhook: of those that want it so, this one is the eldest
	began      time.Time
	checks     *nodeMetrics
	sentry     *sentry
	ways       ways // by which customers reach the nodes
	public     http.Handler
	operations http.Handler
}

// build makes every part. Nothing outside has been called when it returns.
func build(ctx context.Context, c config, log *zap.Logger) (_ *program, err error) {
	p := &program{config: c, holder: holder(), began: time.Now(), log: log, metrics: prometheus.NewRegistry(), hosts: make(map[string]*outbound.Host)}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	p.ways.forget()
	p.sentry = newSentry()
	p.eldest.Store(true) // until it is known that another is
	p.latest.Store(true)
	p.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p.observe = observeCalls(p.metrics)
	p.checks = newNodeMetrics(p.metrics)
	p.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "sallyport", Name: "build_info", Help: "1; the label says which version runs.", ConstLabels: prometheus.Labels{"version": version},
	}, func() float64 { return 1 }))
	p.payments = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "sallyport", Subsystem: "payments", Name: "total", Help: "Payment events that were stored, by provider and outcome.",
	}, []string{"provider", "outcome"})
	for _, d := range providers(nil, nil, nil) {
		for _, outcome := range []shop.Outcome{shop.Settled, shop.Duplicate, shop.Flagged} {
			p.payments.WithLabelValues(string(d.Provider), string(outcome)) // there from the start, so that the first is seen to be one more
		}
	}
	p.metrics.MustRegister(p.payments)
	for _, step := range []func(context.Context) error{p.openCatalogue, p.buildStores, p.buildOutside, p.buildCertificates, p.buildShop} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *program) close() {
	for i := len(p.closers) - 1; i >= 0; i-- {
		p.closers[i]()
	}
	if nodes := p.nodes.Load(); nodes != nil {
		closeNodes(*nodes)
	}
}

func (p *program) onClose(f func()) { p.closers = append(p.closers, f) }

func (p *program) buildStores(ctx context.Context) error {
	open := func(name string, conns int32) (*store.Store, error) {
		s, err := store.Open(ctx, store.Config{
			URL: string(p.config.DatabaseURL), Name: name, MaxConns: conns, MinConns: 1, PlanOnce: name != "work",
			AcquireTimeout: p.config.AcquireTimeout, StatementTimeout: p.config.StatementTimeout,
			Logger: p.log.Named("store"), Metrics: p.metrics,
		})
		if err != nil {
			return nil, fmt.Errorf("%s pool: %w", name, err)
		}
		p.onClose(s.Close)
		return s, nil
	}
	var err error
	if p.deliveries, err = open("deliveries", p.config.WebConns/2); err != nil {
		return err
	}
	if p.dialogs, err = open("dialogs", p.config.WebConns-p.config.WebConns/2); err != nil {
		return err
	}
	p.work, err = open("work", p.config.WorkConns)
	return err
}

// telegramBudget bounds one call to Telegram: long, because a message that was sent
// and whose answer came too late is sent again.
const telegramBudget = 12 * time.Second

// payBudget bounds one call to Crypto Pay.
const payBudget = 5 * time.Second

func (p *program) buildOutside(context.Context) error {
	p.client = bot.NewClient(string(p.config.BotToken), p.config.TelegramAPI, p.hostBy(p.config.telegramProxy(), "telegram", telegramBudget, 64))
	p.onClose(p.client.Close)
	p.stars = stars.New(func(ctx context.Context, method string, params map[string]string, result any) error {
		return p.client.Call(ctx, method, params, result)
	})
	p.cryptobot = cryptobot.New(cryptobot.Config{
		BaseURL: p.config.CryptoPayAPI, Token: string(p.config.CryptoPayToken), Assets: p.config.CryptoPayAssets,
		ReturnURL: p.config.ReturnURL, Host: p.hostBy(p.config.proxy(), "cryptopay", payBudget, 8),
	})
	p.onClose(p.cryptobot.Close)
	if p.config.Heartbeat != "" {
		h := p.hostBy(p.config.proxy(), "heartbeat", heartbeatBudget, 1)
		p.onClose(h.HTTP().CloseIdleConnections)
	}
	return nil
}

// providers describes those by way of which customers pay, in the order of their buttons.
func providers(assets []string, cryptoPay, telegram shop.Gateway) []shop.Descriptor {
	return []shop.Descriptor{cryptobot.Descriptor(assets, cryptoPay), stars.Descriptor(telegram)}
}

// buildShop makes three shops, alike but for the pool that they read and write
// through: background work cannot starve the dialogs, nor dialogs the deliveries.
func (p *program) buildShop(context.Context) error {
	zone, err := time.LoadLocation(p.config.Timezone)
	if err != nil {
		return fmt.Errorf("TIMEZONE: %w", err)
	}
	sold := providers(p.config.CryptoPayAssets, p.cryptobot, p.stars)
	texts, err := bot.NewTexts(zone, sold)
	if err != nil {
		return fmt.Errorf("texts: %w", err)
	}
	p.sender = bot.NewSender(p.client, p.config.SendRate)
	messenger := bot.NewMessenger(bot.NewDisplay(p.sender, p.work, texts, bot.Key), bot.NewDisplay(p.sender, p.work, texts, bot.Notice))
	shopOver := func(s *store.Store) *shop.Shop {
		return shop.New(shop.Config{
			Store: s, Catalogue: &p.catalogue, Nodes: p.shopNodes,
			Providers: sold, Messenger: messenger, Settled: p.settled(), Checked: p.checked,
		})
	}
	front := func(s *store.Store) *bot.Bot {
		return bot.New(shopOver(s), p.client, bot.NewDisplay(p.sender, s, texts, bot.Reply))
	}
	p.front = front(p.dialogs)
	p.lanes = bot.NewLanes(bot.LanesConfig{
		Inbox: p.dialogs, Handle: p.front.Handle, Holder: p.holder, Stop: stopWorking,
		Recovered: p.hosts["telegram"].Recovered(),
		Logger:    p.log.Named("lanes"), Metrics: p.metrics,
	})
	if p.workers, err = p.buildWorkers(shopOver(p.work)); err != nil {
		return err
	}
	p.keeper = bot.NewKeeper(bot.KeeperConfig{
		Client: p.client, Want: p.webhook, Latest: p.latest.Load, OnDuty: p.keeps.Load, Every: 3 * p.config.WatchEvery,
		Fresh: 4 * p.config.AlertAfter, Moved: 20 * p.config.AlertAfter, Behind: 2 * p.config.AlertAfter,
		Logger: p.log.Named("webhook"), Metrics: p.metrics,
	})
	if p.config.OperatorChat != 0 {
		p.operator = bot.NewOperator(bot.OperatorConfig{
			Sender: p.sender, Client: p.client, Texts: texts, Memory: p.work,
			Chat: p.config.OperatorChat, Language: shop.Language(p.config.OperatorLanguage), Logger: p.log.Named("operator"),
		})
	}
	p.buildEdge(shopOver(p.deliveries), front(p.deliveries))
	p.buildWatch()
	return nil
}

// glancesPerCheck is how often a node is asked whether it has restarted for each check.
const glancesPerCheck = 10

func (p *program) buildWorkers(s *shop.Shop) (*workers.Workers, error) {
	w, err := workers.New(workers.Config{
		ID: p.holder, Pool: p.work.Pool(), Shop: s, JobOpts: store.JobOpts, Stop: stopWorking,
		Queues: map[shop.Queue]int{
			shop.QueueAccess: 16, shop.QueueEnds: 1, shop.QueueSlow: 8, shop.QueueMessages: 16, shop.QueueNotices: 4, shop.QueuePayments: 8, shop.QueueStars: 8,
			shop.QueueNodes: 2 * maxNodes, shop.QueueHouse: 2,
		},
		Schedule: workers.Schedule{
			Expire: p.config.ExpireEvery, Nodes: glancesPerCheck * p.config.NodesEvery, Poll: p.config.PollEvery, Sweep: p.config.SweepEvery,
		},
		Logger: p.log.Named("workers"), Metrics: p.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("job queue: %w", err)
	}
	if err := w.SetNodes(p.nodeNames()); err != nil {
		return nil, fmt.Errorf("job queue: %w", err)
	}
	return w, nil
}

func (p *program) buildEdge(s *shop.Shop, till *bot.Bot) {
	for _, prober := range []**store.Prober{&p.pinger, &p.prober} {
		*prober = store.NewProber(string(p.config.DatabaseURL))
		p.onClose((*prober).Close)
	}
	p.door = api.NewDoor(api.DoorConfig{Proxies: p.config.proxies(), AllFriends: p.config.TLS == tlsOff, Metrics: p.metrics})
	p.health = api.NewHealth(version, p.probes()...)
	p.edge = api.New(api.Config{
		Secret: string(p.config.WebhookSecret), Inbox: p.deliveries, Wake: p.lanes.Wake, Checkout: till.Checkout,
		Signed: cryptobot.Signed, Payment: p.readPayment, Settle: s.Settle, Health: p.health,
		Proxies: p.config.proxies(), Gate: api.Gate(p.config.Gate),
		Logger: p.log.Named("edge"), Metrics: p.metrics,
	})
	router := p.edge.Receivers()
	operations := router
	if p.config.Operations != sharedListener {
		operations = api.NewRouter()
	}
	p.edge.Operations(operations)
	operations.Handle("/metrics", promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{}))
	p.public, p.operations = router, operations
}

// checked notes what a check of a node found. A first difference is looked at again soon.
func (p *program) checked(c shop.NodeCheck) {
	p.checks.checked(c, p.nodeNames)
	if c.Counted && c.Drifts() && !c.Full {
		p.sentry.hasten(c.Node)
	}
}

// settled returns what reports every payment event, whichever way it came.
func (p *program) settled() func(shop.PaymentEvent, shop.Outcome, error) {
	return func(e shop.PaymentEvent, outcome shop.Outcome, fault error) {
		p.payments.WithLabelValues(string(e.Provider), string(outcome)).Inc()
		report := p.log.Info
		switch outcome {
		case shop.Flagged:
			report = p.log.Error // an operator must look at it
		case shop.Duplicate:
			report = p.log.Debug
		case shop.Settled:
		}
		if fault != nil {
			report = p.log.Error
		}
		report("payment", zap.String("provider", string(e.Provider)), zap.String("payment_id", e.ExternalID),
			zap.String("outcome", string(outcome)), zap.NamedError("err", fault))
	}
}

// readPayment verifies a callback's bytes, then reads them.
func (p *program) readPayment(header http.Header, body []byte) (shop.PaymentEvent, error) {
	if err := cryptobot.Verify(string(p.config.CryptoPayToken), body, header.Get(cryptobot.SignatureHeader)); err != nil {
		return shop.PaymentEvent{}, err
	}
	return cryptobot.Parse(body)
}

// observeCalls returns what measures every call to the outside.
func observeCalls(metrics prometheus.Registerer) func(host, op string, took time.Duration, err error) {
	calls := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "sallyport", Subsystem: "outbound", Name: "duration_seconds",
		Help:    "How long a call to the outside took, by host, operation and outcome.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
	}, []string{"host", "op", "outcome"})
	metrics.MustRegister(calls)
	return func(host, op string, took time.Duration, err error) {
		outcome := "ok"
		if err != nil {
			outcome = shop.KindOf(err).String()
		}
		calls.WithLabelValues(host, op, outcome).Observe(took.Seconds())
	}
}

// nodeMetrics tell what the checks of the nodes found.
type nodeMetrics struct {
	users, drift *prometheus.GaugeVec
	resyncs      *prometheus.CounterVec
	mu           sync.Mutex
}

func newNodeMetrics(metrics prometheus.Registerer) *nodeMetrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "sallyport", Subsystem: "node", Name: name, Help: help}
	}
	m := &nodeMetrics{
		users:   prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("users", "Users that the node lets in.")), []string{"node"}),
		drift:   prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("drift", "How many more users the node let in at its last check than it should; negative: fewer.")), []string{"node"}),
		resyncs: prometheus.NewCounterVec(prometheus.CounterOpts(opts("resyncs_total", "Full comparisons of the node.")), []string{"node"}),
	}
	metrics.MustRegister(m.users, m.drift, m.resyncs)
	return m
}

// forget drops what is known of a node that is not in the catalogue any more.
func (m *nodeMetrics) forget(node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users.DeleteLabelValues(node)
	m.drift.DeleteLabelValues(node)
	m.resyncs.DeleteLabelValues(node)
}

// checked notes what a check found, unless the node has left the catalogue meanwhile.
func (m *nodeMetrics) checked(c shop.NodeCheck, names func() []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(names(), c.Node) {
		return
	}
	if c.Counted {
		m.users.WithLabelValues(c.Node).Set(float64(c.Users))
		m.drift.WithLabelValues(c.Node).Set(float64(c.Users - c.Desired))
	}
	resyncs := m.resyncs.WithLabelValues(c.Node)
	if c.Full {
		resyncs.Inc()
	}
}
